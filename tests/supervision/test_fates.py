"""What becomes of a child and of those around it: restart types, strategies, significant, nested supervisors."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from bibd.supervision import ActorSystem, Intensity, StartFailedError, State, Strategy, SupervisionError
from bibd.supervision.events import (
    ChildDown,
    ChildGone,
    ChildStopping,
    ChildUp,
    Escalated,
    RestartScheduled,
    Undeliverable,
)
from bibd.supervision.reasons import Abandoned, ChildFailed, DependencyFailed, RestartsExceeded, Shutdown
from bibd.supervision.testkit import settle
from tests.supervision.puppet import (
    BoomError,
    Do,
    Fetch,
    Stage,
    Tree,
    child,
    downs,
    nest,
    nothing,
    once,
    raising,
    ref_of,
    stop_under_the_clock,
    waiting,
)

Make = Callable[..., Tree]
REST = Strategy.REST_FOR_DEPENDENTS


@pytest.mark.parametrize(
    ("restart", "act", "state"),
    [
        ("permanent", "crash", State.BACKOFF),
        ("permanent", "leave", State.BACKOFF),
        ("transient", "crash", State.BACKOFF),
        ("transient", "leave", State.DONE),
        ("temporary", "crash", State.FAILED),
        ("temporary", "leave", State.DONE),
    ],
)
def test_a_restart_type_decides_what_follows_a_fall(tree: Make, restart: str, act: str, state: State) -> None:
    one = tree(child("a", restart=restart, significant=False)).up()
    one.tell("a", raising(BoomError()) if act == "crash" else lambda ctx: ctx.leave())
    one.log.expect(ChildDown)
    settle(one.system)
    assert one.system.status().find("a").state is state
    assert one.system.up


def test_one_for_one_restarts_the_fallen_child_alone(tree: Make) -> None:
    one = tree(child("a"), child("b", after=["a"])).up()
    one.tell("a", raising(BoomError()))
    one.log.expect(RestartScheduled)
    one.clock.advance(1)
    one.log.expect(ChildUp, count=3)
    assert one.log.order(ChildDown) == ["a"]


def test_rest_for_dependents_stops_who_needs_it_and_starts_them_after_it(tree: Make) -> None:
    one = tree(child("a"), child("b", after=["a"]), child("c", after=["b"]), child("d"), strategy=REST).up()
    one.tell("a", raising(BoomError()))
    one.log.expect(ChildDown, lambda event: event.path == "root/b")
    settle(one.system)
    assert one.log.order(ChildDown) == ["a", "c", "b"]
    assert [one.system.status().find(name).state for name in "abcd"] == [
        State.BACKOFF,
        State.WAITING,
        State.WAITING,
        State.UP,
    ]
    one.clock.advance(1)
    one.log.expect(ChildUp, count=7)
    assert one.log.order(ChildUp)[4:] == ["a", "b", "c"]
    assert [one.system.status().find(name).restarts for name in "abcd"] == [1, 0, 0, 0]


def test_a_dependent_does_not_rise_again_upon_a_need_that_is_about_to_be_stopped(
    tree: Make, gate: threading.Event
) -> None:
    """``b`` is condemned, and still up because ``c`` takes its time to stop; ``d``, already down, must not start."""
    one = tree(
        child("a"),
        child("b", after=["a"]),
        child("c", after=["b"], stop=once(lambda _: gate.wait(5))),
        child("d", after=["b"]),
        strategy=REST,
    ).up()
    one.tell("a", raising(BoomError()))
    one.log.expect(ChildDown, lambda event: event.path == "root/d")
    gate.set()
    one.log.expect(ChildDown, lambda event: event.path == "root/b")
    settle(one.system)
    assert one.system.status().find("d").generation == 1
    one.clock.advance(1)
    one.log.expect(ChildUp, lambda event: event.path == "root/d", count=2)


def test_a_child_that_is_not_significant_is_given_up_alone(tree: Make) -> None:
    one = tree(child("a"), child("b", significant=False, start=raising(BoomError("no network"))))
    one.system.start()
    one.system.wait_ready(5)
    assert str(one.log.expect(ChildGone).reason) == "BoomError: no network"
    settle(one.system)
    assert one.system.up
    assert one.system.status().find("b").last_error == "BoomError: no network"


def test_the_restarts_of_what_is_not_significant_do_not_use_up_those_of_what_is(tree: Make) -> None:
    one = tree(child("a"), child("b", significant=False), intensity=Intensity(1, 1000)).up()
    one.log.expect(ChildUp, count=2)
    for name, count in (("b", 3), ("a", 4)):
        one.tell(name, raising(BoomError()))
        one.log.expect(ChildDown, lambda event, name=name: event.path.endswith(name))  # type: ignore[misc]
        settle(one.system)
        one.clock.advance(2)
        one.log.expect(ChildUp, count=count)
    one.tell("b", raising(BoomError()))
    assert isinstance(one.log.expect(ChildGone).reason, RestartsExceeded)
    settle(one.system)
    assert one.system.up


def test_who_needs_what_is_given_up_is_given_up_when_it_would_have_to_start_without(tree: Make) -> None:
    one = tree(
        child("a", significant=False, restart="temporary"),
        child("b", after=["a"], significant=False),
        child("c", after=["b"], significant=False),
    ).up()
    one.log.expect(ChildUp, count=3)
    one.tell("a", raising(BoomError()))
    one.log.expect(ChildGone)
    settle(one.system)
    assert one.system.status().find("b").state is State.UP
    one.tell("b", raising(BoomError()))
    one.log.expect(RestartScheduled)
    one.clock.advance(1)
    assert one.log.expect(ChildGone, lambda event: event.path == "root/b").reason == DependencyFailed("a")
    assert one.log.entries(Escalated) == []


def test_rest_for_dependents_gives_them_up_at_once(tree: Make) -> None:
    one = tree(
        child("a", significant=False, restart="temporary"),
        child("b", after=["a"], significant=False),
        child("c", after=["b"], significant=False),
        strategy=REST,
    ).up()
    one.log.expect(ChildUp, count=3)
    one.tell("a", raising(BoomError()))
    one.log.expect(ChildGone, count=3)
    assert one.log.order(ChildDown) == ["a", "c", "b"]
    settle(one.system)
    assert [one.system.status().find(name).state for name in "abc"] == [State.FAILED] * 3


def test_a_nested_supervisor_escalates_to_its_own_and_is_restarted_as_a_whole(tree: Make) -> None:
    one = tree(nest("s", child("x"), child("y", restart="temporary")), child("z", after=["s"])).up()
    one.log.expect(ChildUp, lambda event: event.path == "root/z")
    y = ref_of(one, "s", "y")
    y.tell(Do(raising(BoomError("deep"))))
    down = one.log.expect(ChildDown, lambda event: event.path == "root/s")
    assert isinstance(down.reason, ChildFailed)
    assert "deep" in str(down.reason)
    one.clock.advance(1)
    one.log.expect(ChildUp, lambda event: event.path == "root/s", count=2)
    assert one.log.order(ChildUp).count("x") == 2
    paths = [path for path, _ in one.system.status().walk()]
    assert paths == ["root", "root/s", "root/s/x", "root/s/y", "root/z"]


def test_names_are_looked_up_among_siblings_first_and_then_further_up(tree: Make) -> None:
    one = tree(nest("s", child("x"), child("near")), child("near"), child("far")).up()
    seen = ref_of(one, "s", "x").ask(
        Fetch(lambda ctx: [ctx.ref(name, Stage).path for name in ("near", "far")]), timeout=5
    )
    assert seen == ["root/s/near", "root/far"]
    assert one.fetch("far", lambda ctx: ctx.ref("near", Stage).path) == "root/near"


def test_a_message_to_a_supervisor_is_refused_and_costs_no_childs_life(tree: Make) -> None:
    one = tree(nest("s", child("x"))).up()
    one.tell("s", nothing)
    with pytest.raises(SupervisionError, match="root/s is a supervisor"):
        one.fetch("s", nothing)
    settle(one.system)
    assert one.log.entries(ChildDown) == []
    assert [event.why for event in one.log.entries(Undeliverable)] == ["not understood"] * 2


def test_a_hung_supervisor_does_not_keep_its_children_alive(tree: Make, gate: threading.Event) -> None:
    """A subscriber that blocks on the supervisor's own thread is the one way to hang it."""
    one = tree(nest("s", child("x"), child("y"), stop_timeout=2)).up()
    stuck = threading.Event()

    def block(event: object) -> None:
        if isinstance(event, RestartScheduled):
            stuck.set()
            gate.wait(30)

    one.system.subscribe(block)
    threads = {cell.name: cell.thread for cell in one.system.runtime.cells}
    ref_of(one, "s", "x").tell(Do(raising(BoomError())))
    assert stuck.wait(5)
    assert isinstance(stop_under_the_clock(one), Shutdown)
    assert one.system.stop().abandoned == ("root/s",)
    supervisor, y = threads["s"], threads["y"]
    assert supervisor is not None
    assert y is not None
    y.join(5)
    assert not y.is_alive()
    gate.set()  # the supervisor comes back, and reports who went down meanwhile
    supervisor.join(5)
    assert len(downs(one, "root/s/y")) == 1


def test_a_hung_supervisor_is_never_respawned_beside_children_that_may_still_live(
    tree: Make, gate: threading.Event
) -> None:
    inner = nest("s", child("x"), child("y"), after=["a"], stop_timeout=2, exclusive=False)
    one = tree(child("a"), inner, strategy=REST).up()
    stuck = threading.Event()

    def block(event: object) -> None:
        if isinstance(event, RestartScheduled) and event.path == "root/s/x":
            stuck.set()
            gate.wait(30)

    one.system.subscribe(block)
    ref_of(one, "s", "x").tell(Do(raising(BoomError())))
    assert stuck.wait(5)
    one.tell("a", raising(BoomError()))
    one.log.expect(ChildStopping, lambda event: event.path == "root/s")
    one.clock.advance(2)
    assert isinstance(one.system.wait(5), ChildFailed)


def test_a_hung_root_is_abandoned_and_its_children_are_asked_to_stop(gate: threading.Event) -> None:
    system = ActorSystem([child("a", stop_timeout=0.1)])
    stuck = threading.Event()

    def block(event: object) -> None:
        if isinstance(event, ChildUp):
            stuck.set()
            gate.wait(30)

    system.subscribe(block)
    system.start()
    assert stuck.wait(5)
    threads = {cell.name: cell.thread for cell in system.runtime.cells}
    report = system.stop()
    assert isinstance(report.reason, Abandoned)
    assert report.abandoned == ("root",)
    assert "gate.wait(30)" in report.reason.stack
    assert threads["a"] is not None
    threads["a"].join(5)
    assert not threads["a"].is_alive()


def test_a_tree_starts_once() -> None:
    one = Tree(child("a")).up()
    with pytest.raises(SupervisionError, match="was started before"):
        one.system.start()
    assert isinstance(one.system.stop().reason, Shutdown)


def test_a_tree_whose_root_gets_no_thread_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    one = Tree(child("a"))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        one.system.start()
    with pytest.raises(StartFailedError, match="can't start new thread"):
        one.system.wait_ready(5)
    assert one.system.stop().tree.state is State.FAILED


def test_children_can_be_named_before_the_tree_is_up(tree: Make, gate: threading.Event) -> None:
    one = tree(child("a", start=waiting(gate)), child("b", after=["a"]))
    assert one.system.ref("b", Stage).path == "root/b"
    one.system.start()
    assert one.system.status().find("b").state is State.WAITING
    with pytest.raises(SupervisionError, match="there is no actor 'c' in this tree"):
        one.system.ref("c", Stage)


def test_the_context_manager_starts_waits_and_stops() -> None:
    one = Tree(child("a"))
    with one.system as system:
        assert system.up
    assert isinstance(one.system.wait(0), Shutdown)
    two = Tree(child("a", start=raising(BoomError())))
    with pytest.raises(StartFailedError), two.system:
        raise AssertionError("not reached")
