"""8. Total stop time is within the declared budget."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from bibd.supervision import (
    ActorSystem,
    Context,
)
from bibd.supervision.events import (
    ChildDown,
    ChildStopping,
)
from bibd.supervision.reasons import (
    Shutdown,
)
from bibd.supervision.testkit import settle
from tests.supervision.puppet import (
    Tree,
    child,
    nest,
    waiting,
)

Make = Callable[..., Tree]


def test_08_total_stop_time_is_within_the_declared_budget_though_all_hang(tree: Make, gate: threading.Event) -> None:
    hang = waiting(gate)
    one = tree(
        child("a", stop=hang, stop_timeout=1),
        child("b", after=["a"], stop=hang, stop_timeout=2),
        child("c", after=["b"], stop=hang, stop_timeout=3),
        child("d", after=["a"], stop=hang, stop_timeout=4),
    ).up()
    assert one.system.stop_budget == 6
    began = one.clock.monotonic()
    one.system.request_stop()
    for name, seconds in (("c", 3), ("b", 2), ("a", 1)):
        one.log.expect(ChildStopping, lambda event, name=name: event.path.endswith(name))  # type: ignore[misc]
        if name == "a":
            one.log.expect(ChildDown, lambda event: event.path == "root/d")
        one.clock.advance(seconds)
        one.log.expect(ChildDown, lambda event, name=name: event.path.endswith(name))  # type: ignore[misc]
    assert isinstance(one.system.wait(5), Shutdown)
    assert one.clock.monotonic() - began <= one.system.stop_budget
    assert one.system.stop().seconds <= one.system.stop_budget


def test_08_the_budget_holds_on_a_real_clock_two_supervisors_deep(gate: threading.Event) -> None:
    hang = waiting(gate)
    innermost = nest("t", child("x", stop=hang), child("y", after=["x"], stop=hang), stop_timeout=0.3)
    system = ActorSystem([nest("s", innermost, stop_timeout=0.4)])
    system.start()
    system.wait_ready(5)
    began = time.monotonic()
    report = system.stop()
    assert time.monotonic() - began < system.stop_budget + 0.3  # what two busy cores may add
    assert set(report.abandoned) == {"root/s/t/x", "root/s/t/y"}  # the supervisors themselves were in time


def test_08_a_stop_in_a_hurry_shares_the_time_so_that_one_hung_child_does_not_take_it_all(
    gate: threading.Event,
) -> None:
    """The hung child would use up all of the second; the others, asked after it, must still get their share."""
    stopped: list[str] = []

    def note(name: str) -> Callable[[Context], None]:
        def act(ctx: Context) -> None:
            threading.Event().wait(0.02)
            stopped.append(name)

        return act

    system = ActorSystem(
        [
            child("a", stop=note("a")),
            child("b", after=["a"], stop=note("b")),
            child("c", after=["b"], stop=waiting(gate)),
        ]
    )
    system.start()
    system.wait_ready(5)
    report = system.stop(timeout=1)
    assert report.seconds < 1
    assert report.abandoned == ("root/c",)
    assert stopped == ["b", "a"]


def test_08_a_second_stop_may_shorten_the_first_and_never_prolongs_it(tree: Make, gate: threading.Event) -> None:
    one = tree(child("a", stop=waiting(gate), stop_timeout=10)).up()
    one.system.request_stop()
    one.log.expect(ChildStopping)
    one.clock.advance(8)
    one.system.request_stop(1000)
    settle(one.system, but_for=["root/a"])
    one.clock.advance(2)
    assert isinstance(one.system.wait(5), Shutdown)

    two = tree(child("a", stop=waiting(gate), stop_timeout=1000)).up()
    two.system.request_stop()
    two.log.expect(ChildStopping)
    two.system.request_stop(1)
    settle(two.system, but_for=["root/a"])
    two.clock.advance(1)
    assert isinstance(two.system.wait(5), Shutdown)
