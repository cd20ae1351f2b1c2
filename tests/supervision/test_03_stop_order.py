"""3. Stop order is reverse topological, whatever restarts happened."""

from __future__ import annotations

import threading
from collections.abc import Callable

from bibd.supervision.events import (
    ChildDown,
    ChildStopping,
    ChildUp,
    RestartScheduled,
)
from bibd.supervision.reasons import (
    Shutdown,
)
from bibd.supervision.testkit import settle
from tests.supervision.puppet import (
    BoomError,
    Tree,
    child,
    raising,
)

Make = Callable[..., Tree]


def test_03_stop_order_is_reverse_topological_whatever_restarts_happened(tree: Make) -> None:
    one = tree(child("a"), child("b", after=["a"]), child("c", after=["b"]), child("d", after=["a"])).up()
    for name in ("a", "c", "b", "a"):
        seen = len(one.log.entries(ChildUp))
        one.tell(name, raising(BoomError()))
        one.log.expect(RestartScheduled, lambda event, name=name: event.path.endswith(name))  # type: ignore[misc]
        settle(one.system)
        one.clock.advance(8)
        one.log.expect(ChildUp, count=seen + 1)
    fallen = len(one.log.entries(ChildDown))
    assert isinstance(one.system.stop().reason, Shutdown)
    order = one.log.order(ChildDown)[fallen:]
    assert sorted(order) == ["a", "b", "c", "d"]
    assert order.index("c") < order.index("b") < order.index("a")
    assert order[-1] == "a"
    assert order[fallen:] == [] or one.log.order(ChildStopping)[-1] == "a"


def test_03_nobody_is_asked_to_stop_before_all_who_need_it_are_down(tree: Make, gate: threading.Event) -> None:
    one = tree(child("a"), child("b", after=["a"], stop=lambda _: gate.wait(5)), child("c", after=["a"])).up()
    one.system.request_stop()
    one.log.expect(ChildDown, lambda event: event.path == "root/c")
    assert sorted(one.log.order(ChildStopping)) == ["b", "c"]
    gate.set()
    one.log.expect(ChildDown, lambda event: event.path == "root/a")
    assert one.log.order(ChildStopping)[-1] == "a"
