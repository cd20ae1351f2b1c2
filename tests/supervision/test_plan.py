"""What a supervisor may do next."""

from __future__ import annotations

from bibd.supervision import Graph, State
from bibd.supervision.plan import doomed, startable, stoppable, tree_is_up
from tests.supervision.puppet import child

NOBODY: frozenset[str] = frozenset()
CHAIN = Graph([child("a"), child("b", after=["a"]), child("c", after=["b"], significant=False)])
W, S, U, D = State.WAITING, State.STARTING, State.UP, State.DONE


def states(*three: State) -> dict[str, State]:
    return dict(zip("abc", three, strict=True))


def test_startable_are_the_waiting_whose_needs_are_up_or_done() -> None:
    assert startable(CHAIN, states(W, W, W), NOBODY) == ["a"]
    assert startable(CHAIN, states(S, W, W), NOBODY) == []
    assert startable(CHAIN, states(U, W, W), NOBODY) == ["b"]
    assert startable(CHAIN, states(D, W, W), NOBODY) == ["b"]
    assert startable(CHAIN, states(State.BACKOFF, W, W), NOBODY) == []


def test_nobody_starts_while_a_condemned_dependent_still_lives() -> None:
    assert startable(CHAIN, states(W, W, State.STOPPING), frozenset("c")) == []
    assert startable(CHAIN, states(W, W, State.UP), NOBODY) == ["a"]  # one_for_one: it lives on


def test_nobody_starts_upon_a_need_that_is_about_to_be_stopped() -> None:
    assert startable(CHAIN, states(U, U, W), frozenset("b")) == []
    assert startable(CHAIN, states(U, U, W), NOBODY) == ["c"]


def test_stoppable_are_the_condemned_that_nobody_condemned_needs_any_more() -> None:
    everybody = frozenset("abc")
    assert stoppable(CHAIN, states(U, U, U), everybody) == ["c"]
    assert stoppable(CHAIN, states(U, U, State.STOPPING), everybody) == []
    assert stoppable(CHAIN, states(U, S, State.STOPPED), everybody) == ["b"]
    assert stoppable(CHAIN, states(U, U, U), frozenset("a")) == ["a"]  # b and c are to live on


def test_doomed_are_the_waiting_whose_need_is_gone_for_good() -> None:
    assert doomed(CHAIN, states(State.FAILED, W, W)) == [("b", "a")]
    assert doomed(CHAIN, states(State.ABANDONED, U, W)) == []
    assert doomed(CHAIN, states(State.BACKOFF, W, W)) == []


def test_the_tree_is_up_without_those_that_are_not_significant() -> None:
    assert tree_is_up(CHAIN, states(U, U, W))
    assert tree_is_up(CHAIN, states(D, U, State.FAILED))
    assert not tree_is_up(CHAIN, states(U, S, U))
    assert tree_is_up(Graph([]), {})
