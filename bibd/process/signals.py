"""SIGTERM, SIGINT and SIGHUP as values that the main thread waits for.

How: the C-level handler writes the number into a pipe (``signal.set_wakeup_fd``), whichever thread the kernel
chose, and the main thread sleeps in poll(2) on that pipe. The alternative, blocking the signals and sigtimedwait(2),
would hand the blocked mask on to every thread and child (execve(2) keeps the mask, and ``subprocess`` restores only
the dispositions of SIGPIPE, SIGXFZ and SIGXFSZ): a pg_dump could not be terminated any more. Handlers, unlike masks,
are reset by execve(2).
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from types import FrameType, TracebackType
from typing import Any

# One Ctrl-C may arrive twice: from the terminal, which signals the whole process group, and again from a wrapper
# (timeout, tini -g, a package runner) that passes it on. Two within this time are one; people are slower.
_ECHO = 0.25


class Signal(Enum):
    STOP = "stop"
    """The first SIGTERM or SIGINT."""
    FORCE = "force"
    """Each further one."""
    RELOAD = "reload"
    """SIGHUP."""


class Signals:
    """Installed in the main thread, from construction until ``close``."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._stopped_at: float | None = None
        self._waiting: deque[Signal] = deque()
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(self._reader, select.POLLIN)
        self._old_wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._old_handlers: dict[int, Any] = {
            number: signal.signal(number, _wake_only) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        }

    def wait(self, timeout: float | None) -> Signal | None:
        """The next signal; None after ``timeout`` seconds (None: no limit) or after ``wake``. Main thread only."""
        if self._waiting:
            return self._waiting.popleft()
        deadline = None if timeout is None else self._monotonic() + timeout
        while True:
            left = None if deadline is None else max(0.0, deadline - self._monotonic())
            if not self._poll.poll(None if left is None else left * 1000):
                return None
            numbers = self._read()
            self._waiting.extend(found for number in numbers if (found := self._meaning(number)) is not None)
            if self._waiting:
                return self._waiting.popleft()
            if 0 in numbers:
                return None

    def wake(self) -> None:
        """Make ``wait`` return None now; from any thread, for a tree that came to its end by itself."""
        with suppress(BlockingIOError):  # full: it wakes anyway
            os.write(self._writer, b"\0")

    def close(self) -> None:
        """Put back what was there before."""
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_wakeup)
        os.close(self._reader)
        os.close(self._writer)

    def __enter__(self) -> Signals:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> bytes:
        try:
            return os.read(self._reader, 512)
        except BlockingIOError:
            return b""

    def _meaning(self, number: int) -> Signal | None:
        if number == signal.SIGHUP:
            return Signal.RELOAD
        if number not in (signal.SIGTERM, signal.SIGINT):
            return None
        now = self._monotonic()
        if self._stopped_at is None:
            self._stopped_at = now
            return Signal.STOP
        return Signal.FORCE if now - self._stopped_at >= _ECHO else None


def _wake_only(_number: int, _frame: FrameType | None) -> None:
    """The pipe carries the signal; Python needs a handler to have one in C."""
