"""A process on a terminal of its own (pty), every wait limited."""

from __future__ import annotations

import os
import pty
import select
import signal
from collections.abc import Sequence
from types import TracebackType
from typing import Self

PATIENCE = 15.0


class Terminal:
    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self.seen = bytearray()

    def __enter__(self) -> Self:
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.execv(self._command[0], self._command)  # noqa: S606
        self._status: int | None = None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._status is None:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        os.close(self._terminal)

    def type(self, keys: bytes) -> None:
        os.write(self._terminal, keys)

    def expect(self, text: bytes, times: int = 1) -> None:
        """Read until ``text`` has appeared so often since the start."""
        while self.seen.count(text) < times:
            assert self._read(), f"{text!r} never came: {bytes(self.seen)!r}"

    def exit_code(self) -> int:
        """Read to the end."""
        while self._read():
            pass
        _, self._status = os.waitpid(self._pid, 0)
        return os.waitstatus_to_exitcode(self._status)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._terminal], [], [], PATIENCE)
        assert ready, f"silent: {bytes(self.seen)!r}"
        try:
            chunk = os.read(self._terminal, 65536)
        except OSError:  # EIO: the other end is closed, pty(7)
            return False
        self.seen += chunk
        return bool(chunk)
