"""7. Ready is not started: dependents start only after Up, and a failed start stops what had started."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from bibd.supervision import (
    StartFailedError,
    State,
)
from bibd.supervision.events import (
    ChildDown,
    ChildStarting,
    ChildUp,
    RestartScheduled,
)
from bibd.supervision.testkit import settle
from tests.supervision.puppet import (
    BoomError,
    Tree,
    child,
    nothing,
    raising,
)

Make = Callable[..., Tree]


def test_07_dependents_start_only_after_up(tree: Make) -> None:
    one = tree(child("a", late=True), child("b", after=["a"]))
    one.system.start()
    one.log.expect(ChildStarting)
    one.fetch("a", nothing)  # it has started, and answers, and is not ready
    settle(one.system)
    assert one.log.order(ChildStarting) == ["a"]
    assert not one.system.up
    one.tell("a", lambda ctx: ctx.ready())
    one.system.wait_ready(5)
    assert one.log.order(ChildUp) == ["a", "b"]
    assert one.system.up


def test_07_independent_branches_start_side_by_side(tree: Make) -> None:
    both = threading.Barrier(2)
    one = tree(child("a", start=lambda _: both.wait(5)), child("b", start=lambda _: both.wait(5))).up()
    assert sorted(one.log.order(ChildUp)) == ["a", "b"]


def test_07_a_failed_start_stops_what_had_started_in_reverse(tree: Make) -> None:
    one = tree(child("a"), child("b", after=["a"]), child("c", after=["b"], start=raising(BoomError("no disk"))))
    one.system.start()
    with pytest.raises(StartFailedError, match="no disk") as caught:
        one.system.wait_ready(5)
    assert isinstance(caught.value.__cause__, BoomError)
    assert one.log.order(ChildDown) == ["c", "b", "a"]
    assert one.system.status().state is State.FAILED


def test_07_a_dependent_of_a_child_that_is_gone_for_good_does_not_wait_for_ever(tree: Make) -> None:
    """``b`` is in backoff when ``a``, which it needs, is given up."""
    one = tree(
        child("a", significant=False, restart="temporary"), child("b", after=["a"]), child("c", significant=False)
    ).up()
    one.tell("b", raising(BoomError()))
    one.log.expect(RestartScheduled)
    one.tell("a", raising(BoomError()))
    one.log.expect(ChildDown, lambda event: event.path == "root/a")
    settle(one.system)
    one.clock.advance(1)
    ended = one.system.wait(5)
    assert str(ended) == "b: a, which it needs, failed"
