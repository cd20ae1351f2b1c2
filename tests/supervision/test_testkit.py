"""The public test kit: what users' own tests rest on."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from bibd.supervision import ActorSystem, ChildSpec, Context
from bibd.supervision.events import ChildUp
from bibd.supervision.testkit import EventLog, Journal, Leftovers, Probe, settle, start_stop_storm
from tests.supervision.puppet import Do, Fetch, Stage, Tree, child, nothing, signalling, waiting

Make = Callable[..., Tree]


def test_a_probe_keeps_what_it_gets_and_answers_as_told() -> None:
    journal = Journal()
    spec = ChildSpec("probe", lambda _: Probe(journal, answers=lambda request: type(request).__name__))
    mute = ChildSpec("mute", lambda _: Probe(journal))
    with ActorSystem([spec, mute]) as system:
        system.ref("probe", Stage).tell(Do(nothing))
        assert system.ref("probe", Stage).ask(Fetch(nothing), timeout=5) == "Fetch"
        assert system.ref("mute", Stage).ask(Fetch(nothing), timeout=5) is None
    assert journal.entries(Do) == [Do(nothing)]
    assert len(journal.entries(Fetch)) == 2


def test_expect_waits_for_what_comes_later_and_says_what_it_saw_instead() -> None:
    journal = Journal()
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(journal.expect(int, lambda number: number > 1, count=2)))
    thread.start()
    for entry in (1, 2, "three", 4):
        journal.add(entry)
    thread.join(5)
    assert found == [4]
    with pytest.raises(AssertionError, match=r"no float \(number 1\) within 0.01 s; seen: \[1, 2, 'three', 4\]"):
        journal.expect(float, timeout=0.01)


def test_an_event_log_lists_names_in_order() -> None:
    log = EventLog()
    system = ActorSystem([child("a"), child("b", after=["a"])])
    system.subscribe(log.add)
    with system:
        assert log.order(ChildUp) == ["a", "b"]


def test_settle_waits_for_handlers_and_jobs_and_follows_messages_from_actor_to_actor(tree: Make) -> None:
    one = tree(child("a"), child("b")).up()
    hops: list[str] = []

    def hop(left: int) -> Callable[[Context], None]:
        def act(ctx: Context) -> None:
            hops.append(ctx.path)
            if left:
                other = ctx.ref("b" if ctx.path.endswith("a") else "a", Stage)
                if left % 5:
                    other.tell(Do(hop(left - 1)))
                else:
                    ctx.pipe(lambda _: other.tell(Do(hop(left - 1))), lambda _: Do(nothing))

        return act

    one.tell("a", hop(200))
    settle(one.system)
    assert len(hops) == 201


def test_settle_waits_for_an_actor_that_is_on_its_way_out(tree: Make, gate: threading.Event) -> None:
    reached = threading.Event()
    one = tree(child("a", stop=signalling(reached, waiting(gate)), restart="temporary")).up()
    one.tell("a", lambda ctx: ctx.leave())
    assert reached.wait(5)
    with pytest.raises(AssertionError, match=r"still busy after 0\.05 s: root/a"):
        settle(one.system, timeout=0.05)
    gate.set()
    settle(one.system)


def test_settle_returns_at_once_when_nobody_lives() -> None:
    one = Tree(child("a"))
    settle(one.system)
    one.up().system.stop()
    settle(one.system)


def test_the_storm_sees_what_a_bad_tree_leaves_behind(gate: threading.Event) -> None:
    def leaking() -> ActorSystem:
        threading.Thread(target=gate.wait, args=(30,), name="a leak").start()
        return ActorSystem([child("a")])

    left = start_stop_storm(leaking, threads=2, rounds=2, patience=0.05)
    assert left
    assert left.threads == 4
    assert not Leftovers(0, 0, 0)
