"""The life of the node, as one pure state machine.

    starting -> ready <-> degraded
       \\__________\\________\\____-> draining -> stopped
    and from each of these but stopped -> failed

What each state answers: alive (``/livez``) until stopped or failed; ready (``/readyz``) only in ``ready``; new work
is accepted in ``ready`` and ``degraded`` (an operation that needs the database then fails with its own reason),
and refused while starting and from draining on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import assert_never


class NodeState(StrEnum):
    STARTING = "starting"
    READY = "ready"
    DEGRADED = "degraded"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TreeReady:
    """Every required child has become ready for the first time."""


@dataclass(frozen=True, slots=True)
class HealthLost:
    """The database does not answer."""


@dataclass(frozen=True, slots=True)
class HealthRegained:
    """The database answers again."""


@dataclass(frozen=True, slots=True)
class ChildLost:
    """A required child is down or being restarted. ``ChildBack`` with the same id must follow."""

    child: str


@dataclass(frozen=True, slots=True)
class ChildBack:
    child: str


@dataclass(frozen=True, slots=True)
class DrainRequested:
    """Shutdown has begun."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """Every child has stopped."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The node cannot go on."""

    reason: str


Event = TreeReady | HealthLost | HealthRegained | ChildLost | ChildBack | DrainRequested | Stopped | Failed


@dataclass(frozen=True, slots=True)
class NodeLife:
    """Where the node is, since when, and what it still waits for."""

    state: NodeState
    since: datetime
    ready_at: datetime | None = None
    """When it was ready for the first time."""
    reason: str | None = None
    """Why it failed."""
    tree_ready: bool = False
    healthy: bool = True
    lost: frozenset[str] = frozenset()
    """Required children that are down."""


def begin(now: datetime) -> NodeLife:
    return NodeLife(NodeState.STARTING, now)


def advance(life: NodeLife, event: Event, now: datetime) -> NodeLife:
    """The life after ``event``; an event that means nothing in the present state changes nothing."""
    if not live(life.state):
        return life
    match event:
        case TreeReady():
            after = replace(life, tree_ready=True)
        case HealthLost():
            after = replace(life, healthy=False)
        case HealthRegained():
            after = replace(life, healthy=True)
        case ChildLost(child):
            after = replace(life, lost=life.lost | {child})
        case ChildBack(child):
            after = replace(life, lost=life.lost - {child})
        case DrainRequested():
            after = _enter(life, NodeState.DRAINING, now)
        case Stopped():
            # Only what drains can have stopped on purpose; a tree that ends by itself has failed.
            after = _enter(life, NodeState.STOPPED, now) if life.state is NodeState.DRAINING else life
        case Failed(reason):
            after = replace(_enter(life, NodeState.FAILED, now), reason=reason)
        case _:
            assert_never(event)
    return _settle(after, now)


def _enter(life: NodeLife, state: NodeState, now: datetime) -> NodeLife:
    return life if life.state is state else replace(life, state=state, since=now)


def _settle(life: NodeLife, now: datetime) -> NodeLife:
    """Ready exactly when the tree is, the database answers and no required child is down."""
    if life.state is NodeState.DRAINING or not live(life.state):
        return life
    if life.tree_ready and life.healthy and not life.lost:
        return replace(_enter(life, NodeState.READY, now), ready_at=life.ready_at or now)
    return _enter(life, NodeState.DEGRADED, now) if life.state is NodeState.READY else life


def accepting(state: NodeState) -> bool:
    """Whether new work is accepted (else HTTP 503, gRPC UNAVAILABLE)."""
    return state in (NodeState.READY, NodeState.DEGRADED)


def live(state: NodeState) -> bool:
    """Whether the node still lives (``/livez``)."""
    return state not in (NodeState.STOPPED, NodeState.FAILED)
