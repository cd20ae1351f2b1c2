"""What a supervisor may do next: pure functions of the graph and of where each child is."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from bibd.supervision.spec import Graph


class Strategy(StrEnum):
    """Who restarts when a child falls."""

    ONE_FOR_ONE = "one_for_one"
    """That child alone."""
    REST_FOR_DEPENDENTS = "rest_for_dependents"
    """That child, and everyone who needs it: they are stopped first and started again after it."""


class State(StrEnum):
    """Where a child is."""

    WAITING = "waiting"  # for what it needs, or for its turn
    STARTING = "starting"
    UP = "up"
    STOPPING = "stopping"
    BACKOFF = "backoff"
    DONE = "done"  # finished by itself, and not to be restarted
    STOPPED = "stopped"
    FAILED = "failed"
    ABANDONED = "abandoned"

    @property
    def live(self) -> bool:
        return self in _LIVE


_LIVE = frozenset({State.STARTING, State.UP, State.STOPPING})
_SATISFIED = frozenset({State.UP, State.DONE})
_GONE = frozenset({State.FAILED, State.ABANDONED})


def stoppable(graph: Graph, states: Mapping[str, State], condemned: frozenset[str]) -> list[str]:
    """The condemned that may be stopped now: nobody who needs them, and is condemned too, still lives."""
    return [
        name
        for name in reversed(graph.order)
        if name in condemned
        and states[name] in {State.STARTING, State.UP}
        and not any(states[other].live and other in condemned for other in graph.dependents[name])
    ]


def startable(graph: Graph, states: Mapping[str, State], condemned: frozenset[str]) -> list[str]:
    """The waiting whose needs are met, by somebody who is to stay.

    Not while a dependent is still on its way down: it would see two of us.
    """
    return [
        name
        for name in graph.order
        if states[name] is State.WAITING
        and all(states[needed] in _SATISFIED and needed not in condemned for needed in graph.specs[name].after)
        and not any(states[other].live and other in condemned for other in graph.dependents[name])
    ]


def doomed(graph: Graph, states: Mapping[str, State]) -> list[tuple[str, str]]:
    """The waiting that will never start, each with the child whose loss dooms it."""
    return [
        (name, needed)
        for name in graph.order
        if states[name] is State.WAITING
        for needed in graph.specs[name].after
        if states[needed] in _GONE
    ]


def tree_is_up(graph: Graph, states: Mapping[str, State]) -> bool:
    return all(states[name] in _SATISFIED for name, spec in graph.specs.items() if spec.significant)
