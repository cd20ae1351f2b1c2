"""11. Start/stop storms leave nothing behind."""

from __future__ import annotations

from bibd.supervision import (
    ActorSystem,
    Backoff,
    Context,
    Intensity,
    Strategy,
)
from bibd.supervision.testkit import start_stop_storm
from tests.supervision.puppet import (
    BoomError,
    Do,
    child,
    nest,
    raising,
)


def test_11_start_stop_storms_leave_nothing_behind() -> None:
    def make() -> ActorSystem:
        return ActorSystem([child("a"), child("b", after=["a"]), nest("s", child("x"), after=["a"])])

    assert not start_stop_storm(make, threads=10, rounds=50)


def test_11_storms_of_trees_whose_children_keep_falling_leave_nothing_behind() -> None:
    def fall(ctx: Context) -> None:
        ctx.after(0, Do(raising(BoomError())))

    def make() -> ActorSystem:
        return ActorSystem(
            [child("a", start=fall), child("b", after=["a"]), child("c", after=["b"], start=fall)],
            strategy=Strategy.REST_FOR_DEPENDENTS,
            intensity=Intensity(1_000_000, 60),
            backoff=Backoff(first=0.0, cap=0.0),
        )

    assert not start_stop_storm(make, threads=10, rounds=20)
