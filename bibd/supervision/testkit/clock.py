"""Time that moves only when told to."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from bibd.supervision.clock import Alarm

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class ManualClock:
    """A ``Clock`` for tests. Timers fire inside ``advance``, on the caller's thread, in order of their time."""

    def __init__(self, start: datetime = _EPOCH) -> None:
        self._start = start
        self._elapsed = 0.0
        self._schedule: list[tuple[float, int, Alarm]] = []
        self._ticket = itertools.count()
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        return self._elapsed

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def call_later(self, delay: float, callback: Callable[[], None]) -> Alarm:
        alarm = Alarm(callback)
        with self._lock:
            heapq.heappush(self._schedule, (self._elapsed + max(0.0, delay), next(self._ticket), alarm))
        return alarm

    def close(self) -> None:
        with self._lock:
            self._schedule.clear()

    def advance(self, seconds: float) -> None:
        """Move on, firing what falls due on the way at its own time (also what such a timer schedules)."""
        until = self._elapsed + seconds
        while (alarm := self._pop_due(until)) is not None:
            alarm.fire()
        self._elapsed = until

    def pending(self) -> list[float]:
        """Seconds until each timer that is still to fire."""
        with self._lock:
            return sorted(at - self._elapsed for at, _, alarm in self._schedule if not alarm.spent)

    def _pop_due(self, until: float) -> Alarm | None:
        with self._lock:
            while self._schedule and self._schedule[0][0] <= until:
                at, _, alarm = heapq.heappop(self._schedule)
                if not alarm.spent:
                    self._elapsed = max(self._elapsed, at)
                    return alarm
        return None
