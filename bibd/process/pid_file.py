"""The PID file, for people and service managers. Whether a daemon runs is decided by ``bibd.lock``."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bibd.durable import write_file
from bibd.errors import BibdError

# How far the wall clock may have been stepped between the file and now before a live process is taken for another.
_CLOCK_STEP = 1.0


@dataclass(frozen=True, slots=True)
class PidFile:
    """``pid\\n`` and nothing else, so that ``kill $(cat bibd.pid)`` works (``server.pid_file``)."""

    path: Path

    def write(self, pid: int) -> int | None:
        """Claim the file for ``pid``; return the pid of a dead daemon that had left it behind, if any.

        Raises BibdError when another live process owns it (``server.pid_file`` shared by two data directories),
        or when it cannot be written.
        """
        owner = self.running()
        if owner is not None and owner != pid:
            raise BibdError(
                f"the PID file {self.path} belongs to a running process (pid {owner})",
                "set server.pid_file to a path of its own for each daemon",
            )
        left_behind = self.read()
        try:
            write_file(self.path, f"{pid}\n".encode())
        except OSError as error:
            raise BibdError(
                f"cannot write the PID file {self.path}: {error.strerror}",
                "check server.pid_file: its directory must exist and be writable",
            ) from error
        return left_behind if left_behind != pid else None

    def remove(self, pid: int) -> None:
        """Remove the file if it still says ``pid``."""
        if self.read() == pid:
            with suppress(OSError):
                self.path.unlink()

    def read(self) -> int | None:
        """The pid in the file; None when there is no file or it holds something else."""
        try:
            content = self.path.read_bytes()[:32].strip()
        except OSError:
            return None
        return int(content) if content.isdigit() and int(content) > 0 else None

    def running(self) -> int | None:
        """The pid in the file if the process that wrote it still lives; None for a stale file or a recycled pid."""
        pid = self.read()
        if pid is None:
            return None
        try:
            written_at = self.path.stat().st_mtime
        except OSError:
            return None
        fields = _stat(pid)
        if fields is None:  # gone, or hidden by hidepid= of proc(5): then believe the file
            return pid if _exists(pid) else None
        if fields[0] in "ZX":  # a zombie holds nothing any more
            return None
        # Who wrote the file had started before; who got its number later started after.
        return pid if _started_at(fields) <= written_at + _CLOCK_STEP else None


def _stat(pid: int) -> list[str] | None:
    """/proc/pid/stat (proc(5)) from field 3, the state, on."""
    try:
        content = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The name in field 2 may hold spaces and parentheses; the last one ends it.
    return content[content.rindex(")") + 2 :].split()


def _started_at(fields: list[str]) -> float:
    """Seconds since the epoch, exact to 10 ms: field 22 counts ticks since boot."""
    booted_at = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return booted_at + int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True
