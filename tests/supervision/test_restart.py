"""When to restart, how soon, and when to give up."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibd.supervision import Backoff, Intensity, SpecError
from bibd.supervision.reasons import (
    Abandoned,
    ChildFailed,
    Crashed,
    Finished,
    NotReady,
    Reason,
    RestartsExceeded,
    Shutdown,
    root_error,
)
from bibd.supervision.restart import Fate, RestartWindow, fate

FAULT = Crashed(ValueError())


@pytest.mark.parametrize(
    ("policy", "reason", "expected"),
    [
        ("permanent", Finished(), Fate.RESTART),
        ("permanent", Shutdown(), Fate.RESTART),
        ("permanent", FAULT, Fate.RESTART),
        ("transient", Finished(), Fate.DONE),
        ("transient", Shutdown(), Fate.DONE),
        ("transient", FAULT, Fate.RESTART),
        ("transient", NotReady(1), Fate.RESTART),
        ("transient", Abandoned(1, ""), Fate.RESTART),
        ("temporary", Finished(), Fate.DONE),
        ("temporary", FAULT, Fate.FAILED),
    ],
)
def test_the_fate_of_a_child_follows_from_its_policy_and_its_reason(
    policy: str, reason: Reason, expected: Fate
) -> None:
    assert fate(policy, reason) is expected  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(0, 5), st.floats(0.5, 20))
def test_the_window_is_exceeded_exactly_by_the_first_restart_over_the_limit(
    gaps: list[float], limit: int, period: float
) -> None:
    window = RestartWindow(Intensity(limit, period))
    times: list[float] = []
    now = 0.0
    for gap in gaps:
        now += gap
        times.append(now)
        recent = [at for at in times if at > now - period]
        assert window.exceeded(now) == (len(recent) > limit)


@given(st.integers(1, 10_000), st.floats(0, 1), st.integers())
def test_a_delay_is_within_its_jitter_of_the_capped_exponential(attempt: int, jitter: float, seed: int) -> None:
    backoff = Backoff(first=0.1, factor=2.0, cap=30.0, jitter=jitter)
    plain = 30.0 if attempt > 9 else 0.1 * 2 ** (attempt - 1)
    delay = backoff.delay(attempt, Random(seed))  # noqa: S311
    assert plain * (1 - jitter) - 1e-9 <= delay <= plain * (1 + jitter) + 1e-9


@pytest.mark.parametrize("wrong", [{"first": -1.0}, {"factor": 0.5}, {"cap": 0.01}, {"jitter": -0.1}, {"jitter": 1.1}])
def test_a_backoff_that_cannot_work_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SpecError, match="backoff"):
        Backoff(**wrong)


@pytest.mark.parametrize(("restarts", "period"), [(-1, 60.0), (5, 0.0), (5, -1.0)])
def test_an_intensity_that_cannot_work_is_refused(restarts: int, period: float) -> None:
    with pytest.raises(SpecError, match="restart intensity"):
        Intensity(restarts, period)


def test_the_root_error_lies_at_the_bottom_of_an_escalation() -> None:
    error = ValueError("the cause")
    deep = ChildFailed("s", RestartsExceeded("x", 3, 60, Crashed(error)))
    assert root_error(deep) is error
    assert root_error(ChildFailed("x", NotReady(3))) is None
    assert root_error(None) is None
