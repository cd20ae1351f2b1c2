"""4. A hung child is abandoned at its own timeout, and what it may still hold is never taken a second time."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from bibd.supervision import (
    Context,
    Intensity,
    State,
    Strategy,
)
from bibd.supervision.events import (
    ChildAbandoned,
    ChildDown,
    ChildStarting,
    ChildStopping,
    ChildUp,
    RestartScheduled,
)
from bibd.supervision.reasons import (
    Abandoned,
    ChildFailed,
    Shutdown,
)
from bibd.supervision.testkit import settle
from tests.supervision.puppet import (
    BoomError,
    Do,
    Tree,
    child,
    downs,
    nest,
    nothing,
    once,
    raising,
    signalling,
    stop_under_the_clock,
    supervisor_of,
    waiting,
)

Make = Callable[..., Tree]
REST = Strategy.REST_FOR_DEPENDENTS


def test_04_a_hung_child_is_abandoned_with_its_stack_and_its_siblings_still_stop(
    tree: Make, gate: threading.Event
) -> None:
    def a_recognisable_place(_: Context) -> None:
        gate.wait(30)

    one = tree(
        child("a"), child("b", after=["a"], stop_timeout=2), child("c", after=["b"]), child("d", after=["a"])
    ).up()
    reached = threading.Event()
    one.tell("b", signalling(reached, a_recognisable_place))
    assert reached.wait(5)
    one.system.request_stop()
    one.log.expect(ChildDown, lambda event: event.path == "root/c")
    one.log.expect(ChildStopping, lambda event: event.path == "root/b")
    one.clock.advance(1.999)
    settle(one.system, but_for=["root/b"])
    assert one.log.entries(ChildAbandoned) == []
    one.clock.advance(0.001)
    assert "a_recognisable_place" in one.log.expect(ChildAbandoned).stack
    assert isinstance(one.system.wait(5), Shutdown)
    report = one.system.stop()
    assert report.abandoned == ("root/b",)
    assert one.log.order(ChildDown)[-2:] == ["b", "a"]


def test_04_a_hung_job_is_in_the_reported_stack(tree: Make, gate: threading.Event) -> None:
    def a_job_that_hangs(_: threading.Event) -> None:
        gate.wait(30)

    one = tree(child("a", start=lambda ctx: ctx.pipe(a_job_that_hangs, lambda _: Do(nothing)))).up()
    stop_under_the_clock(one)
    assert "a_job_that_hangs" in one.log.expect(ChildAbandoned).stack


def test_04_an_exclusive_child_is_never_respawned_beside_its_abandoned_thread(
    tree: Make, gate: threading.Event
) -> None:
    one = tree(child("a"), child("b", after=["a"], stop=waiting(gate), stop_timeout=2), strategy=REST).up()
    one.tell("a", raising(BoomError()))
    one.log.expect(ChildStopping, lambda event: event.path == "root/b")
    one.clock.advance(2)
    ended = one.system.wait(5)
    assert isinstance(ended, ChildFailed)
    assert ended.child == "b"
    assert isinstance(ended.reason, Abandoned)
    assert one.log.order(ChildStarting) == ["a", "b"]
    assert one.system.stop().abandoned == ("root/b",)


def test_04_a_shareable_child_is_respawned_and_its_former_self_changes_nothing(
    tree: Make, gate: threading.Event
) -> None:
    """The abandoned thread comes back while its successor waits in backoff, the worst moment."""
    reached = threading.Event()
    hang = once(signalling(reached, waiting(gate)))
    one = tree(child("a", stop=hang, exclusive=False, stop_timeout=2), intensity=Intensity(9, 60)).up()
    one.tell("a", raising(BoomError()))
    assert reached.wait(5)
    settle(one.system, but_for=["root/a"])
    one.clock.advance(2)
    one.log.expect(RestartScheduled)
    (former,) = [thread for thread in threading.enumerate() if thread.name == "root/a#1"]
    gate.set()
    former.join(5)
    settle(one.system)
    assert one.system.status().find("a").state is State.BACKOFF
    one.clock.advance(1)
    one.log.expect(ChildUp, count=2)
    assert [event.generation for event in downs(one)] == [1]
    assert len(one.log.entries(RestartScheduled)) == 1
    assert one.fetch("a", lambda ctx: ctx.generation) == 2


@pytest.mark.parametrize("how", ["escalation", "rest_for_dependents"])
def test_04_a_supervisor_that_left_an_exclusive_child_hanging_is_not_respawned_either(
    tree: Make, gate: threading.Event, how: str
) -> None:
    """Two levels: the new supervisor would start a second ``x`` beside the abandoned thread of the first."""
    inner = nest("s", child("x", stop=waiting(gate), stop_timeout=2), child("y", restart="temporary"), after=["a"])
    one = tree(child("a"), inner, strategy=REST).up()
    if how == "escalation":
        y = supervisor_of(one, "s").scope.find("y")
        y.inbox.offer(Do(raising(BoomError())))
    else:
        one.tell("a", raising(BoomError()))
    one.log.expect(ChildStopping, lambda event: event.path == "root/s/x")
    one.clock.advance(10)
    assert isinstance(one.system.wait(5), ChildFailed)
    one.clock.advance(100)
    assert [event.path for event in one.log.entries(ChildStarting)].count("root/s/x") == 1


def test_04_a_child_that_just_made_it_is_not_abandoned(tree: Make, gate: threading.Event) -> None:
    """Its Down is on its way when the stop timeout fires: it ended, so it is not hung."""
    one = tree(child("a", stop_timeout=2)).up()
    root = one.system._supervisor
    blocked = threading.Event()
    go_on = threading.Event()

    def block(event: object) -> None:
        if isinstance(event, ChildStopping):
            blocked.set()
            go_on.wait(5)

    one.system.subscribe(block)
    (cell,) = [cell for cell in one.system.runtime.cells if cell.name == "a"]
    one.system.request_stop()
    assert blocked.wait(5)
    one.clock.advance(2)  # the timeout is in the supervisor's inbox first …
    cell.request_stop()
    assert cell.thread is not None
    cell.thread.join(5)  # … and then the Down
    go_on.set()
    assert isinstance(one.system.wait(5), Shutdown)
    assert root is not None
    assert one.log.entries(ChildAbandoned) == []
    assert isinstance(downs(one)[0].reason, Shutdown)
