"""Time as an argument. The only file of the kernel that reads the machine's clocks."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

_log = logging.getLogger("bibd.supervision")


class Timer(Protocol):
    @property
    def spent(self) -> bool:
        """Fired or cancelled."""
        ...

    def cancel(self) -> None:
        """Never fires after this returns, unless it is firing right now. Idempotent."""
        ...


class Clock(Protocol):
    """Two clocks and an alarm. A callback runs on the clock's thread: it may only put a message somewhere."""

    def monotonic(self) -> float:
        """Seconds, never going back; for durations."""
        ...

    def now(self) -> datetime:
        """The wall clock, in UTC; for people."""
        ...

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call once, ``delay`` seconds from now (at once when that is <= 0)."""
        ...

    def close(self) -> None:
        """Nothing fires any more."""
        ...


class Alarm:
    """One entry of a clock's schedule."""

    __slots__ = ("callback", "spent")

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.spent = False

    def cancel(self) -> None:
        self.spent = True

    def fire(self) -> None:
        if self.spent:
            return
        self.spent = True
        try:
            self.callback()
        except Exception:
            # One bad callback must not take every other timer with it.
            _log.exception("a timer's callback failed")


class SystemClock:
    """The real one. Its thread starts with the first timer and ends with ``close``."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._schedule: list[tuple[float, int, Alarm]] = []
        self._ticket = itertools.count()
        self._thread: threading.Thread | None = None
        self._closed = False

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def call_later(self, delay: float, callback: Callable[[], None]) -> Alarm:
        alarm = Alarm(callback)
        with self._changed:
            if self._closed:
                alarm.cancel()
                return alarm
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="bibd:clock", daemon=True)
                thread.start()  # may raise; then the next timer tries again
                self._thread = thread
            entry = (time.monotonic() + delay, next(self._ticket), alarm)
            heapq.heappush(self._schedule, entry)
            if self._schedule[0] is entry:
                self._changed.notify()
        return alarm

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._schedule.clear()
            self._changed.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=1.0)

    def _run(self) -> None:
        while (alarm := self._next_due()) is not None:
            alarm.fire()

    def _next_due(self) -> Alarm | None:
        with self._changed:
            while not self._closed:
                while self._schedule and self._schedule[0][2].spent:
                    heapq.heappop(self._schedule)
                if not self._schedule:
                    self._changed.wait()
                    continue
                wait = self._schedule[0][0] - time.monotonic()
                if wait <= 0:
                    return heapq.heappop(self._schedule)[2]
                self._changed.wait(wait)
        return None
