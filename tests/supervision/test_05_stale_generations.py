"""5. Messages of a stale generation change nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from bibd.supervision import (
    Context,
    State,
)
from bibd.supervision.events import (
    ChildUp,
    RestartScheduled,
    Undeliverable,
)
from bibd.supervision.reasons import (
    Crashed,
)
from bibd.supervision.testkit import settle
from tests.supervision.puppet import (
    BoomError,
    Do,
    Stage,
    Tree,
    child,
    downs,
    raising,
    supervisor_of,
)

Make = Callable[..., Tree]


def test_05_messages_of_a_stale_generation_change_nothing(tree: Make, gate: threading.Event) -> None:
    seen: list[int] = []
    refs: list[Any] = []
    reached = threading.Event()

    def hang(cancel: threading.Event) -> None:
        cancel.wait(5)
        reached.set()
        gate.wait(30)

    def start(ctx: Context) -> None:
        refs.append(ctx.me(Stage))
        ctx.after(50, Do(lambda ctx: seen.append(ctx.generation)))
        if ctx.generation == 1:
            ctx.pipe(hang, lambda _: Do(lambda ctx: seen.append(ctx.generation)))

    one = tree(child("a", start=start, exclusive=False, stop_timeout=2)).up()
    one.tell("a", raising(BoomError()))
    assert reached.wait(5)
    settle(one.system, but_for=["root/a"])
    one.clock.advance(2)  # generation 1 is abandoned: its job hangs
    one.log.expect(RestartScheduled)
    one.clock.advance(1)
    one.log.expect(ChildUp, count=2)
    before = one.system.runtime.undelivered
    refs[0].tell(Do(lambda ctx: seen.append(ctx.generation)))
    gate.set()  # now the job of generation 1 delivers
    one.log.expect(Undeliverable, lambda event: event.why == "stale")
    one.clock.advance(49)
    settle(one.system)
    assert seen == []
    assert one.system.runtime.undelivered == before + 2
    one.clock.advance(1)
    settle(one.system)
    assert seen == [2]


def test_05_the_supervisor_ignores_reports_of_a_stale_generation(tree: Make) -> None:
    one = tree(child("a")).up()
    one.tell("a", raising(BoomError()))
    one.log.expect(RestartScheduled)
    one.clock.advance(1)
    one.log.expect(ChildUp, count=2)
    root = supervisor_of(one, "root")
    root.child_down("a", 1, Crashed(BoomError("late")))
    root.child_ending("a", 1)
    root.child_up("a", 1)
    settle(one.system)
    assert one.system.status().find("a").state is State.UP
    assert len(downs(one)) == 1
