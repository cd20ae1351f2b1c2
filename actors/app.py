"""The tree as data, and the composition root: what a daemon is made of, from its start to its exit code."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from actors.admin.actor import AdminActor, Methods, Serve
from actors.config.actor import ConfigActor, policy, wish
from actors.config.messages import Config, Reload
from actors.health.actor import HealthActor
from actors.migrator.actor import MigratorActor
from actors.provisioner.actor import ProvisionerActor
from actors.root import Identity, Root
from bibd.admin.methods import METHODS
from bibd.admin.recovery_kits import recovery_kit_methods
from bibd.admin.server import AdminServer, AuditEntry
from bibd.config import resolve
from bibd.config.load import Loaded
from bibd.config.model import Settings
from bibd.datadir import DataDir
from bibd.errors import BibdError
from bibd.identity.key_file import load_or_create
from bibd.identity.node import NodeIdentity
from bibd.logs.audit import AuditLog, Outcome
from bibd.logs.setup import Logs, for_actor, setup
from bibd.node import NodeState
from bibd.process.directory import prepare
from bibd.process.lock import DataDirLock
from bibd.process.notify import Notifier, watchdog_interval
from bibd.process.pid_file import PidFile
from bibd.process.signals import Signal, Signals
from bibd.storage import Storage
from bibd.supervision import ActorSystem, AskError, ChildSpec
from bibd.supervision.reasons import Reason, Shutdown, root_error

_WHOLE_STOP = 3600.0
"""Seconds, far more than server.shutdown_timeout, which is what counts and may change while we run. Of it the kernel
gives each child the part that its own timeout is of those of the chain, so the timeouts below are shares."""

_SHARES = {"migrator": 0.2, "health": 0.2, "provisioner": 0.5, "admin": 0.1}
"""Of 30 s a probe of a hung server gets its 5 s, and what one does not need goes to those after it: the server gets
18 to 25 s, of which an end without its cooperation takes 6."""

_NO_LIMIT = 10 * 365 * 86400.0
"""Seconds, for readiness that may take as long as it takes: the user's migrations, or a person who mends them."""

_FORCED_STOP = 3.0
"""Seconds for a forced stop: enough to end a server at once and to say so."""


class InForce:
    """The settings that the daemon works with now; ``apply`` is called with each change."""

    def __init__(self, settings: Settings, apply: Callable[[Settings], None]) -> None:
        self.settings = settings
        self._apply = apply

    def change(self, settings: Settings) -> None:
        self.settings = settings
        self._apply(settings)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the actors are given."""

    load: Callable[[], Loaded]
    in_force: InForce
    storage: Storage
    serve: Serve
    methods: Methods
    root: Root
    forced: threading.Event


def tree(parts: Parts, slots: tuple[ChildSpec, ...] = ()) -> tuple[ChildSpec, ...]:
    """The children of the root. ``slots`` join it beside the storage (``after=("admin",)``) and never wait for it."""
    # A generation that comes later works with what is in force then.
    in_force, root, storage = parts.in_force, parts.root, parts.storage
    health = in_force.settings.database.postgres.health
    probe_timeout, startup = health.timeout, health.startup_timeout
    return (
        ChildSpec("config", lambda ctx: ConfigActor(ctx, in_force.settings, parts.load, in_force.change)),
        # Up first and down last: it answers while everything else still starts, and while it stops.
        ChildSpec(
            "admin",
            lambda ctx: AdminActor(
                ctx, parts.serve, storage, root.status, root.operations, probe_timeout,
                lambda: in_force.settings.server.drain_timeout,
                lambda force: root.wish_shutdown("requested over the admin socket", force=force), parts.methods,
            ),
            after=("config",), stop_timeout=_share("admin"),
        ),
        # initdb and a copy of the binaries come on top of the server's own start.
        ChildSpec(
            "provisioner",
            lambda ctx: ProvisionerActor(ctx, storage, wish(in_force.settings), parts.forced, root.serving),
            after=("admin",), ready_timeout=startup + 60, stop_timeout=_share("provisioner"),
        ),
        ChildSpec(
            "health",
            lambda ctx: HealthActor(ctx, policy(in_force.settings), storage.probe, root.probed, root.give_up),
            after=("provisioner",), ready_timeout=startup + probe_timeout + 5, stop_timeout=_share("health"),
        ),
        ChildSpec(
            "migrator",
            lambda ctx: MigratorActor(
                ctx, storage, in_force.settings.database.migrations.path,
                auto=in_force.settings.database.migrations.auto, ping=lambda: storage.probe(probe_timeout),
                publish=root.migrated, publish_operation=root.operation,
            ),
            after=("health",), ready_timeout=_NO_LIMIT, stop_timeout=_share("migrator"),
        ),
        *slots,
    )  # fmt: skip


def _share(child: str) -> float:
    return _SHARES[child] * _WHOLE_STOP


def make_storage(settings: Settings, data: DataDir, logs: Logs, log_dir: Path, identity: NodeIdentity) -> Storage:
    """The database of this configuration; imports only what that kind needs."""
    match settings.database.backend:
        case "postgres":
            from bibd.postgres.storage import PostgresStorage

            return PostgresStorage.of(
                settings.database, data, logs=log_dir, identity=identity, register_secret=logs.redactor.add
            )
        case "sqlite":
            from bibd.sqlite.storage import SqliteStorage

            return SqliteStorage.of(settings.database, data, node=identity.node_id)


@dataclass(frozen=True, slots=True)
class Process:
    """The process around the tree: where its arguments and its signals come from."""

    environ: Mapping[str, str]
    home: Path
    stderr: TextIO
    signals: Signals


def run(loaded: Loaded, load: Callable[[], Loaded], process: Process, slots: tuple[ChildSpec, ...] = ()) -> int:
    """Run a daemon until it is told to stop, or can't go on. Returns the exit code; raises BibdError for what is
    wrong before there is a log to write it to."""
    settings, euid = loaded.settings, os.geteuid()
    directory = resolve.data_dir(settings, home=process.home, euid=euid)
    resolve.check_socket_paths(settings, directory)
    with ExitStack() as cleanup:
        data = prepare(directory)
        log_dir = resolve.log_dir(settings, directory)
        lock = DataDirLock.acquire(data.lock_file)
        cleanup.callback(lock.release)
        identity = load_or_create(data)
        logs = setup(
            level=settings.log.level,
            fmt=settings.log.format,
            log_dir=log_dir,
            redact_fields=settings.log.redact_fields,
            node=identity.short_id,
            stderr=process.stderr,
            environ=process.environ,
        )
        cleanup.callback(logs.close)
        pid_file = PidFile(resolve.pid_file(settings, directory))
        pid_file.write(os.getpid())
        cleanup.callback(pid_file.remove, os.getpid())
        audit = AuditLog(log_dir / "audit.log", logs.redactor)
        cleanup.callback(audit.close)
        for warning in loaded.warnings:
            for_actor("config").warning("{}", warning)
        facts = Identity(identity.node_id, settings.mode, settings.database.backend, os.getpid())
        root = Root(facts, lambda: datetime.now(UTC), Notifier(process.environ), process.signals.wake)
        forced = threading.Event()

        def apply(new: Settings) -> None:
            logs.set_level(new.log.level)
            logs.redactor.watch(new.log.redact_fields)

        in_force = InForce(settings, apply)
        parts = Parts(
            load=load,
            in_force=in_force,
            storage=make_storage(settings, data, logs, log_dir, identity),
            serve=_server(resolve.admin_socket(settings, directory), audit, euid),
            methods=recovery_kit_methods(identity, data.recipients, time.time),
            root=root,
            forced=forced,
        )
        system = ActorSystem(tree(parts, slots))
        root.watch(system, frozenset(f"root/{spec.id}" for spec in tree(parts, slots) if spec.significant))
        for_actor("root").info(
            "bibd starting, pid {}, data directory {}, node {}", os.getpid(), directory, identity.node_id
        )
        system.start()
        return Daemon(root, system, process, forced, in_force).live()


_OUTCOMES: Mapping[str, Outcome] = {"requested": "requested", "done": "ok", "failed": "failed", "refused": "refused"}


def _server(socket: Path, audit: AuditLog, euid: int) -> Serve:
    def record(entry: AuditEntry) -> None:
        audit.write(
            at=datetime.now(UTC),
            peer_pid=entry.peer.pid,
            peer_uid=entry.peer.uid,
            method=entry.method,
            params=asdict(entry.params) if is_dataclass(entry.params) and not isinstance(entry.params, type) else {},
            outcome=_OUTCOMES[entry.event],
            error=entry.detail or None,
            changes=entry.method in METHODS and METHODS[entry.method].changes,
        )

    return lambda handle: AdminServer(socket, handle, allowed_uids=frozenset({0, euid}), audit=record)


class Daemon:
    """The main thread: waits for signals, for wishes from inside, and for the tree's own end."""

    def __init__(
        self, root: Root, system: ActorSystem, process: Process, forced: threading.Event, in_force: InForce
    ) -> None:
        self._root = root
        self._system = system
        self._signals = process.signals
        self._notifier = Notifier(process.environ)
        self._watchdog = watchdog_interval(process.environ, os.getpid())
        self._forced = forced
        self._in_force = in_force
        self._stopping = False
        self._log = for_actor("root")

    def live(self) -> int:
        while (reason := self._system.wait(0)) is None:
            signal = self._signals.wait(self._watchdog)
            if signal is Signal.RELOAD and not self._stopping:
                self._reload()
            if signal is Signal.STOP and not self._stopping:
                self._stop("signal")
            if self._root.shutdown_wish is not None and not self._stopping:
                self._stop(self._root.shutdown_wish)
            if signal is Signal.FORCE or (self._root.force_wish and not self._forced.is_set()):
                self._force()
            if self._watchdog is not None and not self._system.unresponsive(self._watchdog / 2):
                self._notifier.watchdog()
        return self._finish(reason)

    def _stop(self, why: str) -> None:
        self._stopping = True
        self._log.info("shutting down: {}", why)
        self._root.drain()
        self._system.request_stop(self._in_force.settings.server.shutdown_timeout)

    def _force(self) -> None:
        self._log.warning("shutdown forced")
        self._forced.set()
        self._system.request_stop(_FORCED_STOP)

    def _reload(self) -> None:
        # Before READY=1 there is nothing to reload for the service manager (systemd.service(5), Type=notify-reload).
        serving = self._root.state is not NodeState.STARTING
        if serving:
            self._notifier.reloading()
        try:
            answer = self._system.ref("config", Config).ask(Reload(), timeout=10)
        except AskError as error:
            answer = error
        if isinstance(answer, BibdError):
            self._log.error("configuration not reloaded: {}", answer)
        else:
            self._log.info("configuration reloaded; changed: {}", ", ".join(answer.changed) or "nothing")
            if answer.restart_required:
                self._log.warning("these keys need a restart: {}", ", ".join(answer.restart_required))
        if serving:
            self._notifier.ready(self._root.state.value)

    def _finish(self, reason: Reason) -> int:
        report = self._system.close()
        failure = self._root.failure if isinstance(reason, Shutdown) else str(reason)
        if not self._stopping:
            self._root.drain()
        self._root.ended(failure)
        self._log.info("bibd stopped in {:.3f} s", report.seconds)
        if failure is None and not report.abandoned:
            return 0
        error = root_error(reason)
        self._log.critical("{}", error if isinstance(error, BibdError) else failure or "some children hung")
        return error.exit_code if isinstance(error, BibdError) else 1
