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
    """SIGHUP. Those that nobody has taken yet are one: each would read the same file."""


class Signals:
    """Installed in the main thread, from construction until ``close``."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._stopped_at: float | None = None
        self._stops: deque[Signal] = deque()
        self._reload = False
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(self._reader, select.POLLIN)
        self._old_wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._old_handlers: dict[int, Any] = {
            number: signal.signal(number, _wake_only) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        }

    def wait(self, timeout: float | None) -> Signal | None:
        """The next signal, a stop before a reload; None after ``timeout`` seconds (None: no limit) or after ``wake``.

        Main thread only.
        """
        deadline = None if timeout is None else self._monotonic() + timeout
        while True:
            numbers = self._read()
            if (found := self._next()) is not None:
                return found
            if 0 in numbers:
                return None
            left = None if deadline is None else max(0.0, deadline - self._monotonic())
            if not self._poll.poll(None if left is None else left * 1000):
                return None

    def wake(self) -> None:
        """Make ``wait`` return None now; from any thread, for a tree that came to its end by itself."""
        with suppress(BlockingIOError):  # full: it wakes anyway
            os.write(self._writer, b"\0")

    def retire(self) -> None:
        """Ignore what comes from now on: the exit code is settled, a late signal must not take its place."""
        for number in self._old_handlers:
            signal.signal(number, signal.SIG_IGN)
            self._old_handlers[number] = signal.SIG_IGN
        self.close()

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
        """Take note of all that has arrived."""
        try:
            numbers = os.read(self._reader, 65536)
        except BlockingIOError:
            return b""
        for found in map(self._meaning, numbers):
            if found is Signal.RELOAD:
                self._reload = True
            elif found is not None:
                self._stops.append(found)
        return numbers

    def _next(self) -> Signal | None:
        if self._stops:
            return self._stops.popleft()
        reload, self._reload = self._reload, False
        return Signal.RELOAD if reload else None

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
