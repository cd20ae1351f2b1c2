"""6. More than N restarts in P stops the children, then the supervisor; exactly N does not."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from bibd.supervision import (
    Intensity,
    Strategy,
)
from bibd.supervision.events import (
    ChildDown,
    ChildStopping,
    ChildUp,
    Escalated,
    RestartScheduled,
)
from bibd.supervision.reasons import (
    RestartsExceeded,
    Shutdown,
)
from bibd.supervision.testkit import settle
from tests.supervision.puppet import (
    BoomError,
    Tree,
    child,
    once,
    raising,
)

Make = Callable[..., Tree]
REST = Strategy.REST_FOR_DEPENDENTS


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_06_exactly_n_restarts_are_allowed_and_one_more_is_not(tree: Make, limit: int) -> None:
    one = tree(child("other"), child("a"), intensity=Intensity(limit, 1000)).up()
    for number in range(limit):
        one.tell("a", raising(BoomError()))
        one.log.expect(RestartScheduled, count=number + 1)
        settle(one.system)
        one.clock.advance(30)
        one.log.expect(ChildUp, lambda event: event.path == "root/a", count=number + 2)
    settle(one.system)
    assert one.log.entries(Escalated) == []
    one.tell("a", raising(BoomError("the last straw")))
    ended = one.system.wait(5)
    assert isinstance(ended, RestartsExceeded)
    assert "the last straw" in str(ended)
    assert len(one.log.entries(RestartScheduled)) == limit
    assert one.log.order(ChildDown)[-1] == "other"
    assert isinstance(one.log.entries(ChildDown)[-1].reason, Shutdown)


def test_06_restarts_longer_ago_than_the_period_do_not_count(tree: Make) -> None:
    one = tree(child("a"), intensity=Intensity(1, 10)).up()
    for number in range(5):
        one.tell("a", raising(BoomError()))
        one.log.expect(RestartScheduled, count=number + 1)
        one.clock.advance(10)
        one.log.expect(ChildUp, count=number + 2)
    assert one.log.entries(Escalated) == []


def test_06_a_child_that_falls_while_it_waits_for_its_stop_is_counted(tree: Make, gate: threading.Event) -> None:
    """``b`` is condemned by ``a`` but not asked yet, since ``c`` still stops; then it falls by itself."""
    one = tree(
        child("a"),
        child("b", after=["a"]),
        child("c", after=["b"], stop=once(lambda _: gate.wait(5))),
        strategy=REST,
        intensity=Intensity(2, 1000),
    ).up()
    one.tell("a", raising(BoomError()))
    one.log.expect(ChildStopping, lambda event: event.path == "root/c")
    one.tell("b", raising(BoomError("b's own")))
    one.log.expect(RestartScheduled, lambda event: event.path == "root/b")
    gate.set()
    one.log.expect(ChildDown, lambda event: event.path == "root/c")
    settle(one.system)
    one.clock.advance(1)
    one.log.expect(ChildUp, lambda event: event.path == "root/c", count=2)
    assert one.log.order(ChildUp) == ["a", "b", "c", "a", "b", "c"]
    assert one.system.status().find("b").last_error == "BoomError: b's own"
