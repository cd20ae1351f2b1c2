"""Where lines go. A full disk or a closed terminal costs lines, never the daemon."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bibd.errors import BibdError


class LineFile:
    """An append-only file of lines, 0600, for any thread. One write(2) a line: two processes never mix theirs."""

    def __init__(self, path: Path) -> None:
        """Raises BibdError when it cannot be opened."""
        self.path = path
        self._lock = threading.Lock()
        try:
            with suppress(FileExistsError):
                path.parent.mkdir(mode=0o700, parents=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise BibdError(
                f"cannot open the log file {path}: {error.strerror}",
                "check the owner and the permissions of its directory (log.dir)",
            ) from error
        # A line that was torn by a crash or a full disk must not swallow the next one.
        self._torn = _ends_within_a_line(self._descriptor)

    def write(self, line: bytes, *, durable: bool = False) -> None:
        """Append ``line`` (which ends with its line break). Raises OSError; the line is then lost or torn."""
        with self._lock:
            data = b"\n" + line if self._torn else line
            written = os.write(self._descriptor, data)
            if written < len(data):
                self._torn = True
                # The second write tells why (ENOSPC, EFBIG), or completes the line.
                written += os.write(self._descriptor, data[written:])
            self._torn = written < len(data)
            if durable:
                os.fsync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


class Forgiving:
    """A writer whose failures are told once, and counted until it works again."""

    def __init__(self, name: str, write: Callable[[bytes], None], complain: Callable[[str], None]) -> None:
        self._name = name
        self._write = write
        self._complain = complain
        self._lost = 0

    def __call__(self, line: bytes) -> None:
        try:
            self._write(line)
        except (OSError, ValueError) as error:  # ValueError: stderr was closed
            self._lost += 1
            if self._lost == 1:
                reason = error.strerror if isinstance(error, OSError) else str(error)
                self._complain(f"cannot write to {self._name}: {reason}; log lines are lost until that works again")
            return
        if self._lost:
            lost, self._lost = self._lost, 0
            self._complain(f"{self._name} works again; {lost} log lines are lost")


def _ends_within_a_line(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
