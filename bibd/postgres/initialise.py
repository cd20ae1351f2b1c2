"""Making a data directory: beside its final name, whole, on disk, then renamed. What is named `data` is complete."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from contextlib import suppress
from pathlib import Path

from bibd.durable import sync_directory
from bibd.errors import BibdError
from bibd.postgres import roles, server_log
from bibd.postgres.account import Account
from bibd.postgres.binaries import Binaries
from bibd.postgres.child import Finished, run

# 0.3 to 1.2 s were measured; this is for a machine on its knees.
TIMEOUT = 300.0


def locale_arguments(major: int) -> list[str]:
    """Sorting that depends on neither the machine nor its C library.

    A glibc upgrade changes the order of strings and so breaks indexes (wiki.postgresql.org/wiki/Locale_data_changes).
    The builtin C.UTF-8 (17 and later) sorts by code point and knows upper and lower case of all of Unicode;
    older servers get C, the same order with case for ASCII alone.
    """
    if major >= 17:
        return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return ["--locale=C"]


def remove_leftovers(data: Path) -> None:
    """Remove what a killed start left beside ``data``; its initdb may still run."""
    for leftover in data.parent.glob(f"{data.name}.new.*"):
        if leftover.is_dir():
            _kill_users_of(leftover)
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _kill_users_of(directory: Path) -> None:
    """initdb and its backends carry the directory as an argument, or have it as their working directory."""
    mark = os.fsencode(directory)
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        with suppress(OSError):
            if (process / "comm").read_text().strip() not in {"initdb", "postgres"}:
                continue
            words = (process / "cmdline").read_bytes().split(b"\0")
            if mark in words or (process / "cwd").readlink() == directory:
                os.kill(int(process.name), signal.SIGKILL)


def initialise(
    data: Path,
    *,
    binaries: Binaries,
    account: Account,
    passwords: roles.Passwords,
    cancel: threading.Event,
) -> None:
    """Make ``data`` with its role and database. Raises BibdError, Cancelled; then nothing is left behind."""
    temporary = data.with_name(f"{data.name}.new.{os.getpid()}")
    password_file = temporary.with_name(f"{temporary.name}.pw")
    try:
        _write_private(password_file, roles.scram_verifier(passwords.superuser, os.urandom(16)), account)
        _initdb(temporary, password_file, binaries, account, cancel)
        # Not synced yet, so nothing is lost with -F: a power cut leaves a directory that the next start removes.
        roles.run_single_user(
            temporary,
            roles.creation(passwords, binaries.major),
            binaries=binaries,
            account=account,
            cancel=cancel,
            fsync=False,
        )
        # Once, and for everything: initdb's own sync would not cover the role and the database.
        _checked(
            "initdb --sync-only",
            run([binaries.tool("initdb"), "-S", "-D", temporary], account=account, cancel=cancel, timeout=TIMEOUT),
        )
        if data.is_dir():
            data.rmdir()  # empty: the caller looked
        temporary.rename(data)
        sync_directory(data.parent)
    except OSError as error:
        raise BibdError(
            f"cannot make the data directory {data}: {error.strerror or error}", "look at the space and rights there"
        ) from error
    finally:
        password_file.unlink(missing_ok=True)
        if temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)


def _initdb(
    temporary: Path, password_file: Path, binaries: Binaries, account: Account, cancel: threading.Event
) -> None:
    argv: list[str | Path] = [
        binaries.tool("initdb"),
        "-D",
        temporary,
        "--username=postgres",
        "--pwfile",
        password_file,
        "--auth-local=scram-sha-256",
        "--auth-host=scram-sha-256",
        "--data-checksums",
        "--encoding=UTF8",
        *locale_arguments(binaries.major),
        "--no-sync",
        "--no-instructions",
    ]
    _checked("initdb", run(argv, account=account, cancel=cancel, timeout=TIMEOUT))


def _checked(what: str, finished: Finished) -> None:
    if finished.code:
        lines = [line for line in finished.output.splitlines() if line.strip()]
        hint = server_log.hint(finished.output) or "the lines above say why; the directory it was making was removed"
        if "user does not exist" in finished.output:
            # As in a container that is started under a number without a name.
            hint = "PostgreSQL looks its account up by number: add an entry to /etc/passwd"
        raise BibdError(f"{what} failed (exit code {finished.code}):\n" + "\n".join(lines[-5:]), hint)


def _write_private(path: Path, text: str, account: Account) -> None:
    """A verifier, not the password: the server stores it as it is, and cannot turn it back."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        if account.owner is not None:
            os.fchown(file.fileno(), *account.owner)
        file.write(text + "\n")
