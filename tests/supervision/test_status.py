"""The tree as it stands."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from bibd.supervision import ChildStatus, State
from bibd.supervision.events import ChildDown, ChildStopping, RestartScheduled
from bibd.supervision.testkit import settle
from tests.supervision.puppet import BoomError, Tree, child, nest, raising, signalling, waiting

Make = Callable[..., Tree]


def test_the_status_follows_a_child_through_its_life(tree: Make, gate: threading.Event) -> None:
    one = tree(child("a", late=True), child("b", after=["a"], stop=waiting(gate), stop_timeout=3))

    def state(name: str) -> State:
        return one.system.status().find(name).state

    assert (state("a"), state("b"), one.system.status().state) == (State.WAITING, State.WAITING, State.STARTING)
    one.system.start()
    settle(one.system)
    assert (state("a"), state("b"), one.system.status().state) == (State.STARTING, State.WAITING, State.STARTING)
    one.clock.advance(2)
    one.tell("a", lambda ctx: ctx.ready())
    one.system.wait_ready(5)
    a = one.system.status().find("a")
    assert (a.state, one.system.status().state) == (State.UP, State.UP)
    assert a.started_at is not None
    assert a.ready_at is not None
    assert (a.ready_at - a.started_at).total_seconds() == 2
    one.tell("a", raising(BoomError("oh")))
    one.log.expect(RestartScheduled)
    a = one.system.status().find("a")
    assert (a.state, a.restarts, a.generation, a.last_error) == (State.BACKOFF, 1, 1, "BoomError: oh")
    one.system.request_stop()
    one.log.expect(ChildStopping)
    assert (state("a"), state("b"), one.system.status().state) == (State.STOPPED, State.STOPPING, State.STOPPING)
    one.clock.advance(2)
    gate.set()
    one.system.wait(5)
    b = one.system.status().find("b")
    assert (b.state, b.stop_seconds, b.stop_outcome) == (State.STOPPED, 2.0, "stopped")
    assert one.system.status().state is State.STOPPED


def test_the_status_answers_whatever_hangs(tree: Make, gate: threading.Event) -> None:
    one = tree(nest("s", child("x")), child("a")).up()
    reached = threading.Event()
    one.tell("a", signalling(reached, waiting(gate)))
    assert reached.wait(5)
    paths = {path: status.state for path, status in one.system.status().walk()}
    assert paths == dict.fromkeys(["root", "root/s", "root/s/x", "root/a"], State.UP)


def test_a_childs_error_while_stopping_is_kept(tree: Make) -> None:
    one = tree(child("a", stop=raising(BoomError("cannot flush")))).up()
    report = one.system.stop()
    a = report.tree.find("a")
    assert (a.state, a.last_error, a.stop_outcome) == (
        State.STOPPED,
        "BoomError: cannot flush",
        "BoomError: cannot flush",
    )


def test_find_names_direct_children_only() -> None:
    status = ChildStatus("root", State.UP, children=(ChildStatus("a", State.UP),))
    assert status.find("a").id == "a"
    with pytest.raises(KeyError):
        status.find("b")
    assert status.with_children(()).children == ()


def test_the_unresponsive_are_those_that_take_no_message(tree: Make, gate: threading.Event) -> None:
    one = tree(child("a"), child("b")).up()
    assert one.system.unresponsive(5) == ()
    reached = threading.Event()
    one.tell("b", signalling(reached, waiting(gate)))
    assert reached.wait(5)
    assert one.system.unresponsive(0.05) == ("root/b",)
    gate.set()
    settle(one.system)
    assert one.system.unresponsive(5) == ()
    one.system.stop()
    assert one.system.unresponsive(0.05) == ()
    assert len(one.log.entries(ChildDown)) == 2
