"""10. No ask stays unanswered after the callee's Down; undeliverable messages are counted, never silent."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from bibd.supervision import (
    LATER,
    ActorCrashedError,
    ActorDownError,
    Context,
    InboxFullError,
)
from bibd.supervision.events import (
    ChildStopping,
    Undeliverable,
)
from bibd.supervision.testkit import settle
from tests.supervision.puppet import (
    BoomError,
    Defer,
    Fetch,
    Stage,
    Tree,
    child,
    nothing,
    raising,
    signalling,
)

Make = Callable[..., Tree]


def test_10_no_ask_stays_unanswered_after_the_callees_down(tree: Make, gate: threading.Event) -> None:
    """Fifty askers against an actor that falls under them: each is answered or told, none runs into its timeout."""
    one = tree(child("a", restart="temporary", significant=False)).up()
    together = threading.Barrier(51)
    outcomes: list[object] = []

    def ask() -> None:
        together.wait(5)
        try:
            for _ in range(100):
                one.system.ref("a", Stage).ask(Fetch(nothing), timeout=10)
        except ActorDownError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    together.wait(5)
    one.tell("a", raising(BoomError()))
    for thread in threads:
        thread.join(8)
    assert not any(thread.is_alive() for thread in threads)
    assert all(isinstance(outcome, ActorDownError) for outcome in outcomes)


@pytest.mark.parametrize("end", ["crash", "stop", "abandoned"])
def test_10_a_broken_promise_and_a_waiting_request_are_answered(tree: Make, gate: threading.Event, end: str) -> None:
    one = tree(child("a", stop_timeout=1)).up()
    raised: list[type] = []
    asked = threading.Semaphore(0)

    def promise(ctx: Context, msg: Defer) -> Any:
        ctx.promise(msg)
        asked.release()
        return LATER

    def busy(ctx: Context) -> None:
        asked.release()
        if end == "stop":
            ctx.stop_requested.wait(5)
        else:
            gate.wait(30)
        if end == "crash":
            raise BoomError

    def ask(msg: Any) -> None:
        try:
            one.system.ref("a", Stage).ask(msg, timeout=20)
        except Exception as error:
            raised.append(type(error))

    threads = [threading.Thread(target=ask, args=(msg,)) for msg in (Defer(promise), Fetch(busy), Fetch(nothing))]
    for thread in threads[:2]:
        thread.start()
        assert asked.acquire(timeout=5)
    threads[2].start()
    (cell,) = [cell for cell in one.system.runtime.cells if cell.name == "a"]
    while not len(cell.inbox):
        threading.Event().wait(0.001)
    match end:
        case "crash":
            gate.set()
        case "stop":
            one.system.request_stop()
        case _:
            one.system.request_stop()
            one.log.expect(ChildStopping)
            one.clock.advance(1)
    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)
    expected: dict[str, list[type]] = {
        "crash": [ActorCrashedError, ActorDownError, ActorDownError],
        "stop": [ActorDownError, ActorDownError],  # the busy one had time to answer
        "abandoned": [ActorDownError, ActorDownError, ActorDownError],
    }
    assert sorted(raised, key=str) == sorted(expected[end], key=str)


def test_10_undeliverable_messages_are_counted_and_published(tree: Make, gate: threading.Event) -> None:
    one = tree(child("a", inbox_limit=2, restart="temporary", significant=False)).up()
    started = threading.Event()
    one.tell("a", signalling(started, lambda _: gate.wait(5)))
    assert started.wait(5)
    for _ in range(3):
        one.tell("a", nothing)
    with pytest.raises(InboxFullError, match="root/a is full"):
        one.fetch("a", nothing)
    assert [event.why for event in one.log.entries(Undeliverable)] == ["full", "full"]
    gate.set()
    settle(one.system)
    one.tell("a", raising(BoomError()))
    settle(one.system)
    one.tell("a", nothing)
    with pytest.raises(ActorDownError, match="root/a is not running"):
        one.fetch("a", nothing)
    assert [event.why for event in one.log.entries(Undeliverable)] == ["full", "full", "closed", "closed"]
    assert one.system.runtime.undelivered == 4


def test_10_the_supervisors_own_messages_are_nobodys_undeliverable_ones(tree: Make) -> None:
    one = tree(*(child(name) for name in "abcdefgh")).up()
    one.system.stop()
    assert one.log.entries(Undeliverable) == []
