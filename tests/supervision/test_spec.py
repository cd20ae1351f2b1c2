"""The tree as data."""

from __future__ import annotations

from typing import Any

import pytest

from bibd.supervision import ChildSpec, Graph, SpecError
from tests.supervision.puppet import child


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"id": ""}, "is empty or has a slash"),
        ({"id": "a/b"}, "is empty or has a slash"),
        ({"ready_timeout": 0}, "must be above 0"),
        ({"stop_timeout": -1}, "must be above 0"),
        ({"inbox_limit": 0}, "must be above 0"),
        ({"restart": "sometimes"}, "restart 'sometimes' is none of permanent, transient, temporary"),
        ({"after": "db"}, "after must be a tuple of ids"),
    ],
)
def test_a_spec_that_cannot_work_is_refused(wrong: dict[str, Any], says: str) -> None:
    sound: dict[str, Any] = {"id": "a", "factory": child("a").factory}
    with pytest.raises(SpecError, match=says):
        ChildSpec(**(sound | wrong))


def test_a_cycle_is_refused_and_shown() -> None:
    with pytest.raises(SpecError, match="→") as caught:
        Graph([child("a", after=["c"]), child("b", after=["a"]), child("c", after=["b"])])
    assert all(name in str(caught.value) for name in "abc")


def test_a_child_after_itself_is_a_cycle() -> None:
    with pytest.raises(SpecError, match="wait for each other"):
        Graph([child("a", after=["a"])])


def test_an_unknown_dependency_is_refused_and_named() -> None:
    with pytest.raises(SpecError, match="child a starts after databse, which is no sibling"):
        Graph([child("a", after=["databse"])])


def test_a_duplicate_id_is_refused_and_named() -> None:
    with pytest.raises(SpecError, match=r"two children have the same id: b$"):
        Graph([child("a"), child("b"), child("b")])


def test_dependents_are_transitive() -> None:
    graph = Graph([child("a"), child("b", after=["a"]), child("c", after=["b"]), child("d")])
    assert graph.dependents == {"a": {"b", "c"}, "b": {"c"}, "c": set(), "d": set()}


def test_the_budget_is_the_longest_chain_of_stop_timeouts() -> None:
    graph = Graph(
        [
            child("a", stop_timeout=1),
            child("b", after=["a"], stop_timeout=2),
            child("c", after=["a"], stop_timeout=10),
            child("d", after=["b"], stop_timeout=4),
        ]
    )
    assert graph.stop_budget() == 11
    assert graph.stop_chain == {"a": 1, "b": 3, "c": 11, "d": 7}
    assert Graph([]).stop_budget() == 0
