"""When to restart, how soon, and when to give up: plain functions of the past."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from random import Random

from bibd.supervision.errors import SpecError
from bibd.supervision.reasons import Finished, Reason, Shutdown
from bibd.supervision.spec import Restart


class Fate(Enum):
    """What happens to a child that went down without being asked to."""

    RESTART = "restart"
    DONE = "done"
    FAILED = "failed"


def fate(policy: Restart, reason: Reason) -> Fate:
    normal = isinstance(reason, Finished | Shutdown)
    if policy == "permanent" or (policy == "transient" and not normal):
        return Fate.RESTART
    return Fate.DONE if normal else Fate.FAILED


@dataclass(frozen=True, slots=True)
class Intensity:
    """At most ``restarts`` within a sliding window of ``period`` seconds."""

    restarts: int = 5
    period: float = 60.0

    def __post_init__(self) -> None:
        if self.restarts < 0 or self.period <= 0:
            raise SpecError("restart intensity: restarts must be 0 or more, period above 0 s")


class RestartWindow:
    """The restarts of the last ``period`` seconds."""

    def __init__(self, intensity: Intensity) -> None:
        self.intensity = intensity
        self._at: deque[float] = deque()

    def exceeded(self, now: float) -> bool:
        """Count a restart at ``now``. True for the first one over the limit: exactly ``restarts`` is allowed."""
        while self._at and self._at[0] <= now - self.intensity.period:
            self._at.popleft()
        self._at.append(now)
        return len(self._at) > self.intensity.restarts


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential, capped, with jitter so that siblings that fell together do not rise together."""

    first: float = 0.1
    factor: float = 2.0
    cap: float = 30.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        if self.first < 0 or self.factor < 1 or self.cap < self.first or not 0 <= self.jitter <= 1:
            raise SpecError("backoff: 0 <= first <= cap, factor >= 1 and 0 <= jitter <= 1 must hold")

    def delay(self, attempt: int, random: Random) -> float:
        """Seconds before restart number ``attempt`` (from 1): within ``jitter`` of the plain exponential."""
        # The exponent is bounded, because 2.0 ** 1024 is an OverflowError.
        plain = min(self.cap, self.first * self.factor ** min(attempt - 1, 64))
        return plain * (1 + self.jitter * (2 * random.random() - 1))
