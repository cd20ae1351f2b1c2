"""Bring a data directory to rest before a start: either a server runs in it, or nothing holds it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from bibd.errors import BibdError
from bibd.postgres.child import Cancelled, reap_servers
from bibd.postgres.postmaster import Kind, Observation, observe
from bibd.postgres.shutdown import end_orphans, stop_postmaster

_POLL = 0.005
_STOP_TIMEOUT = 30.0


def settle(
    data: Path,
    cluster: str,
    *,
    cancel: threading.Event,
    deadline: float,
    monotonic: Callable[[], float],
    progress: Callable[[str], None],
) -> tuple[Observation, list[str]]:
    """Wait until ``data`` is READY, ABSENT or STALE; what was found on the way, and the observation.

    Ends processes that a dead postmaster left behind, and removes a PID file that would keep the server from
    starting. Raises BibdError when something else holds the directory until ``deadline``, Cancelled.
    """
    notes: list[str] = []
    waiting: Kind | None = None
    while True:
        reap_servers()
        if cancel.is_set():
            raise Cancelled
        seen = observe(data, cluster)
        match seen.kind:
            case Kind.READY | Kind.ABSENT:
                return seen, notes
            case Kind.STALE:
                # The server removes it itself, after looking whether its shared memory is still in use.
                pid = seen.pid_file.pid if seen.pid_file else 0
                notes.append(f"stale PID file: process {pid} is gone")
                return seen, notes
            case Kind.RECYCLED:
                # The server would refuse to start beside a living process of its own account, whatever that is.
                (data / "postmaster.pid").unlink(missing_ok=True)
                notes.append(_recycled(seen))
                continue
            case Kind.ORPHANS:
                progress("waiting for the processes of a dead server to end")
                ended = end_orphans(data, cluster, cancel=cancel, monotonic=monotonic)
                notes.append(f"the postmaster was dead, its processes have ended: {', '.join(map(str, ended))}")
                continue
            case Kind.NO_PID_FILE:
                assert seen.process is not None  # noqa: S101 -- this kind has one
                progress("stopping a server without PID file")
                # It would stop by itself within a minute, when it misses the file (RecheckDataDirLockFile).
                stop_postmaster(
                    seen.process,
                    data=data,
                    cluster=cluster,
                    timeout=_STOP_TIMEOUT,
                    immediate=False,
                    monotonic=monotonic,
                )
                notes.append(f"orphaned postmaster (pid {seen.process.pid}, its PID file was gone) stopped")
                continue
            case Kind.STARTING | Kind.STOPPING | Kind.STANDALONE:
                if waiting is not seen.kind:
                    progress(f"waiting for {seen.kind.value}")
                    waiting = seen.kind
        if monotonic() > deadline:
            pid = seen.process.pid if seen.process else 0
            raise BibdError(
                f"{data} is held by {seen.kind.value} (pid {pid}), and that did not end in time",
                "recovery after a crash may take long: wait, or raise database.postgres.health.startup_timeout",
            )
        cancel.wait(_POLL)


def _recycled(seen: Observation) -> str:
    if seen.pid_file is None:
        return "PID file without a process id removed"
    return (
        f"stale PID file removed: its process id {abs(seen.pid_file.pid)} was recycled, that is no server of this data"
    )
