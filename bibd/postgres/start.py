"""Start a postmaster and wait until it accepts connections."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from bibd.errors import BibdError
from bibd.postgres import port as ports
from bibd.postgres import server_log
from bibd.postgres.account import Account
from bibd.postgres.binaries import Binaries
from bibd.postgres.child import Cancelled, start_server
from bibd.postgres.postmaster import PidFile, Process, find_process, read_pid_file

# pg_ctl looks each 100 ms; the server writes "ready" into its PID file 40 to 60 ms after its start.
_POLL = 0.003


class PortTakenError(BibdError):
    """Somebody was faster to listen on the port."""


class StillRecoveringError(BibdError):
    """The server works on its recovery and has been left to it; the next attempt goes on waiting."""


def start(
    data: Path,
    run: Path,
    *,
    port: int,
    binaries: Binaries,
    account: Account,
    log_file: Path,
    secrets: Iterable[str],
    cancel: threading.Event,
    deadline: float,
    monotonic: Callable[[], float],
    started: Callable[[Process], None],
) -> PidFile:
    """Start the server of ``data``; its PID file once it accepts connections. Nothing else holds ``data``.

    ``started`` gets the process at once: whoever fails afterwards stops it. Raises PortTakenError,
    StillRecoveringError, BibdError with the last lines of the log, Cancelled.
    """
    # The directory is ours alone and no server runs: a socket's lock file whose process id was recycled
    # would keep the server from starting.
    for leftover in run.glob(".s.PGSQL.*"):
        leftover.unlink(missing_ok=True)
    offset = server_log.size(log_file)
    try:
        child = start_server([binaries.tool("postgres"), "-D", data], account=account, cwd=data, log_file=log_file)
    except OSError as error:
        raise BibdError(
            f"cannot start PostgreSQL: {error.filename or log_file}: {error.strerror}",
            "look at the rights of the log file and of the server binaries",
        ) from error
    process = find_process(child.pid)
    if process is not None:
        started(process)
    while True:
        if cancel.is_set():
            raise Cancelled
        if child.poll() is not None:
            raise _failed(child, server_log.since(log_file, offset), secrets, port)
        pid_file = _read(data)
        if pid_file is not None and pid_file.pid == child.pid and pid_file.status in {"ready", "standby"}:
            return pid_file
        if monotonic() > deadline:
            if pid_file is not None and pid_file.pid == child.pid and pid_file.status == "starting":
                raise StillRecoveringError(
                    f"PostgreSQL (pid {child.pid}) still recovers; it has been left to it",
                    "recovery after a crash may take long: wait, or raise database.postgres.health.startup_timeout",
                )
            lines = server_log.tail(server_log.since(log_file, offset), secrets)
            raise BibdError(f"PostgreSQL did not become ready in time:\n{lines}", f"look at {log_file}")
        cancel.wait(_POLL)


def _read(data: Path) -> PidFile | None:
    with suppress(OSError):
        return read_pid_file(data)
    return None


def _failed(child: subprocess.Popen[bytes], log: str, secrets: Iterable[str], port: int) -> BibdError:
    lines = server_log.tail(log, secrets)
    if "Address already in use" in log:
        taken = ports.in_use(port)
        return PortTakenError(taken.message, taken.hint)
    hint = server_log.hint(log) or "the lines above are the end of the server's log"
    return BibdError(f"PostgreSQL did not start (exit code {child.returncode}):\n{lines}", hint)
