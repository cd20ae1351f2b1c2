"""What to do about a probe: a plain function of what has been tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Action = Literal["retry_limit", "retry_always", "shutdown"]


@dataclass(frozen=True, slots=True)
class Policy:
    """``database.postgres.health``; durations in seconds."""

    interval: float = 5.0
    timeout: float = 5.0
    startup_timeout: float = 60.0
    action: Action = "retry_limit"
    max_retries: int = 5
    retry_backoff: float = 10.0


@dataclass(frozen=True, slots=True)
class Condition:
    """``healthy`` is None until the first good probe; ``attempts`` to restore since the last good one."""

    healthy: bool | None = None
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class ProbeIn:
    """Nothing to do but to look again."""

    seconds: float


@dataclass(frozen=True, slots=True)
class RestoreIn:
    """Try to bring the database back. ``attempt`` counts from 1."""

    seconds: float
    attempt: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Stop restarting, keep looking: whoever mends the database by hand finds the node ready again."""

    attempts: int


@dataclass(frozen=True, slots=True)
class ShutDown:
    """The operator wants the node down rather than degraded."""


Verdict = ProbeIn | RestoreIn | GiveUp | ShutDown

_STARTUP_POLL = 0.2
"""Seconds between probes until the first good one: a start should not wait for the interval."""


def judge(condition: Condition, ok: bool, policy: Policy) -> tuple[Condition, Verdict]:
    """The condition after a probe that was ``ok`` or not, and what to do now.

    The first attempt to restore comes at once, each further one after ``retry_backoff``. A server that runs but does
    not answer is never killed here: it may be busy, and its clients' work is worth more than our probe.
    """
    if ok:
        return Condition(healthy=True), ProbeIn(policy.interval)
    if condition.healthy is None:
        return condition, ProbeIn(_STARTUP_POLL)
    if policy.action == "shutdown":
        return Condition(healthy=False, attempts=condition.attempts), ShutDown()
    if policy.action == "retry_limit" and condition.attempts >= policy.max_retries:
        return Condition(healthy=False, attempts=condition.attempts), GiveUp(condition.attempts)
    attempt = condition.attempts + 1
    delay = 0.0 if attempt == 1 else policy.retry_backoff
    return Condition(healthy=False, attempts=attempt), RestoreIn(delay, attempt)
