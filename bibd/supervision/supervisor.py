"""The supervisor: an actor whose only work is the life of its children.

It never blocks and never waits: everything that happens (a child came up, went down, a timer fired, somebody wants
a stop) is a message on its control lane, and after each one it does whatever `plan` says may be done now. That is
why a stop is never lost, whenever it comes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bibd.supervision import events
from bibd.supervision.actor import Actor
from bibd.supervision.cell import Cell, launch
from bibd.supervision.child import Child
from bibd.supervision.clock import Timer
from bibd.supervision.context import Context, Scope
from bibd.supervision.errors import SupervisionError
from bibd.supervision.messages import LATER, Answer, Notice
from bibd.supervision.plan import State, Strategy, doomed, startable, stoppable, tree_is_up
from bibd.supervision.reasons import (
    Abandoned,
    ChildFailed,
    Crashed,
    DependencyFailed,
    NotReady,
    Reason,
    RestartsExceeded,
    Shutdown,
)
from bibd.supervision.ref import Address
from bibd.supervision.restart import Backoff, Fate, Intensity, RestartWindow, fate
from bibd.supervision.spec import ChildSpec, Graph
from bibd.supervision.status import ChildStatus

_DEADLINE_MARGIN = 0.1
"""Seconds (but a tenth of what is left at most) that a supervisor keeps back from its own deadline, to report before
its parent abandons it."""


@dataclass(frozen=True, slots=True)
class _Up:
    name: str
    generation: int


@dataclass(frozen=True, slots=True)
class _Ending:
    name: str
    generation: int


@dataclass(frozen=True, slots=True)
class _Down:
    name: str
    generation: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class _ReadyTimeout:
    name: str
    generation: int


@dataclass(frozen=True, slots=True)
class _StopTimeout:
    name: str
    generation: int


@dataclass(frozen=True, slots=True)
class _BackoffOver:
    name: str
    generation: int


_FAILURES = Crashed | NotReady | Abandoned | ChildFailed | RestartsExceeded
_Control = _Up | _Ending | _Down | _ReadyTimeout | _StopTimeout | _BackoffOver


class Supervisor(Actor[_Control]):
    """Starts ``specs`` along their graph, restarts what falls, stops all in reverse.

    Ready when every significant child is. A significant child whose first start fails, that is never restarted but
    failed, or that falls more often than ``intensity`` allows, brings the supervisor down (escalation): it stops the
    other children, then itself. One that is not significant is given up alone; those who need it are given up when
    they would have to start again without it (at once under REST_FOR_DEPENDENTS).
    """

    auto_ready = False

    def __init__(
        self,
        ctx: Context,
        specs: Iterable[ChildSpec],
        *,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        intensity: Intensity | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self._ctx = ctx
        self._runtime = ctx._cell.runtime
        self._inbox = ctx._cell.inbox
        self._graph = Graph(specs)
        self._strategy = strategy
        self._backoff = backoff or Backoff()
        self._children: dict[str, Child] = {}
        window = RestartWindow(intensity or Intensity())
        for name in self._graph.order:
            spec = self._graph.specs[name]
            address = Address(f"{ctx.path}/{name}", ctx.path, self._runtime)
            # What the tree can do without must not use up the restarts of what it needs.
            own = window if spec.significant else RestartWindow(window.intensity)
            self._children[name] = Child(spec, address, own)
        self.scope = Scope({name: child.address for name, child in self._children.items()}, ctx.scope)
        self._leaving: Reason | None = None
        self._deadline: float | None = None
        self.left_behind: Reason | None = None
        """Set when an exclusive child, however deep, was abandoned: we must not be started again beside its thread."""

    def children(self) -> tuple[ChildStatus, ...]:
        return tuple(child.status() for child in self._children.values())

    # ── Parent: called on the children's threads ─────────────────────────────────────────────────────────────

    def child_up(self, name: str, generation: int) -> None:
        self._inbox.offer_control(_Up(name, generation))

    def child_ending(self, name: str, generation: int) -> None:
        self._inbox.offer_control(_Ending(name, generation))

    def child_down(self, name: str, generation: int, reason: Reason) -> None:
        self._inbox.offer_control(_Down(name, generation, reason))

    # ── Actor ────────────────────────────────────────────────────────────────────────────────────────────────

    def on_start(self) -> None:
        self._advance()

    def receive(self, msg: object) -> Answer:
        if not isinstance(msg, _Control):
            return self._refuse(msg)
        child = self._children[msg.name]
        expected = child.state is State.BACKOFF if isinstance(msg, _BackoffOver) else child.state.live
        if msg.generation != child.generation or not expected:
            return None  # of a former generation, or abandoned: what it says changes nothing
        match msg:
            case _Up():
                self._up(child)
            case _Ending():
                self._ending(child)
            case _Down(reason=reason):
                self._down(child, reason)
            case _ReadyTimeout():
                self._ready_timeout(child)
            case _StopTimeout():
                self._stop_timeout(child)
            case _BackoffOver():
                child.state = State.WAITING
        self._advance()
        return None

    def _refuse(self, msg: Any) -> Answer:
        """A supervisor has no protocol; a message for it is a mistake, which must not cost its children's lives."""
        self._runtime.undeliverable(self._ctx.path, msg, "not understood")
        if isinstance(msg, Notice):
            return None
        self._ctx.promise(msg).fail(SupervisionError(f"{self._ctx.path} is a supervisor: it takes no messages"))
        return LATER

    def on_stop_requested(self, deadline: float | None) -> bool:
        if deadline is not None:
            left = deadline - self._runtime.clock.monotonic()
            self._hurry(deadline - max(0.0, min(_DEADLINE_MARGIN, left / 10)))
        self._leave(Shutdown())
        self._advance()
        return False

    def _hurry(self, deadline: float) -> None:
        if self._deadline is None or deadline < self._deadline:
            self._deadline = deadline
            for child in self._children.values():
                if child.state is State.STOPPING and child.cell is not None:
                    child.cell.request_stop(self._arm_stop_timer(child))

    def on_stop(self, reason: Reason) -> None:
        """Nobody lives any more, unless a fault of ours brought us here, or we come back from being abandoned.

        Then nobody hears our children's reports either (our inbox is closed): wait for each, in reverse.
        """
        self._leave(reason)
        for name in reversed(self._graph.order):
            child = self._children[name]
            cell, limit = child.cell, child.spec.stop_timeout
            if cell is None or not child.state.live:
                continue
            cell.request_stop()
            if cell.thread is not None:
                cell.thread.join(limit)
            self._down(child, cell.down or Abandoned(limit, cell.abandon()))

    # ── what happened ────────────────────────────────────────────────────────────────────────────────────────

    def _up(self, child: Child) -> None:
        if child.state is not State.STARTING:
            return
        child.cancel_timer()
        child.state = State.UP
        child.ready_at = self._runtime.clock.now()
        seconds = self._runtime.clock.monotonic() - child.since
        self._emit(events.ChildUp(child.ready_at, child.address.path, child.generation, seconds))

    def _ending(self, child: Child) -> None:
        """It ends by itself. That may hang too, so the stop timeout runs."""
        if child.state is not State.STOPPING:
            child.state = State.STOPPING
            child.since = self._runtime.clock.monotonic()
            self._arm_stop_timer(child)

    def _down(self, child: Child, reason: Reason) -> None:
        child.cancel_timer()
        seconds = self._runtime.clock.monotonic() - child.since if child.asked else 0.0
        child.went_down(reason, seconds)
        stuck = self._stuck(child, reason)
        path, generation = child.address.path, child.generation
        self._emit(events.ChildDown(self._runtime.clock.now(), path, generation, reason, seconds))
        failure, child.failure = child.failure, None
        child.condemned = False
        if isinstance(failure or reason, _FAILURES):
            child.last_error = str(failure or reason)
        if self._leaving is not None:
            child.state = State.ABANDONED if isinstance(reason, Abandoned) else State.STOPPED
        elif stuck is not None:
            self._give_up(child, stuck)
        elif child.asked and failure is None:
            # Stopped because of somebody else's restart; a temporary child does not come back from that either.
            child.state = State.DONE if child.spec.restart == "temporary" else State.WAITING
        else:
            self._fell(child, failure or reason)

    def _stuck(self, child: Child, reason: Reason) -> Reason | None:
        """Why there may be no next generation: an exclusive child, itself or below it, left a thread behind."""
        actor = child.cell.actor if child.cell is not None else None
        stuck = actor.left_behind if isinstance(actor, Supervisor) else None
        if isinstance(reason, Abandoned) and (child.spec.exclusive or isinstance(actor, Supervisor)):
            stuck = reason  # nobody knows what a hung supervisor's children still hold
        if stuck is not None and self.left_behind is None:
            self.left_behind = ChildFailed(child.spec.id, stuck)
        return stuck

    def _fell(self, child: Child, reason: Reason) -> None:
        if isinstance(reason, _FAILURES):
            never_was_up = child.generation == 1 and child.ready_at is None
            if never_was_up:
                self._give_up(child, reason)
                return
        match fate(child.spec.restart, reason):
            case Fate.DONE:
                child.state = State.DONE
            case Fate.FAILED:
                self._give_up(child, reason)
            case Fate.RESTART:
                self._schedule_restart(child, reason)

    def _schedule_restart(self, child: Child, reason: Reason) -> None:
        now = self._runtime.clock.monotonic()
        if child.window.exceeded(now):
            limit = child.window.intensity
            self._give_up(child, RestartsExceeded(child.spec.id, limit.restarts, limit.period, reason))
            return
        child.restarts += 1
        delay = self._backoff.delay(child.next_attempt(now), self._runtime.random)
        child.state = State.BACKOFF
        child.timer = self._later(delay, _BackoffOver(child.spec.id, child.generation))
        path = child.address.path
        self._emit(events.RestartScheduled(self._runtime.clock.now(), path, child.restarts, delay, reason))
        self._condemn_dependents(child)

    def _condemn_dependents(self, child: Child) -> None:
        if self._strategy is Strategy.REST_FOR_DEPENDENTS:
            for name in self._graph.dependents[child.spec.id]:
                if self._children[name].state.live:
                    self._children[name].condemned = True

    def _give_up(self, child: Child, reason: Reason) -> None:
        child.state = State.ABANDONED if isinstance(reason, Abandoned) else State.FAILED
        child.last_error = str(reason)
        now, path = self._runtime.clock.now(), child.address.path
        if not child.spec.significant:
            self._emit(events.ChildGone(now, path, reason))
            self._condemn_dependents(child)
            return
        escalation = reason if isinstance(reason, RestartsExceeded) else ChildFailed(child.spec.id, reason)
        if self._leaving is None:
            self._emit(events.Escalated(now, self._ctx.path, escalation))
        self._leave(escalation)

    def _ready_timeout(self, child: Child) -> None:
        if child.state is State.STARTING:
            child.failure = NotReady(child.spec.ready_timeout)
            child.condemned = True

    def _stop_timeout(self, child: Child) -> None:
        if child.state is not State.STOPPING or child.cell is None or child.cell.down is not None:
            return  # in time, if only just: its Down is behind us in the inbox
        stack = child.cell.abandon()
        now = self._runtime.clock.now()
        self._emit(events.ChildAbandoned(now, child.address.path, child.generation, stack))
        self._down(child, Abandoned(self._runtime.clock.monotonic() - child.since, stack))

    # ── what to do now ───────────────────────────────────────────────────────────────────────────────────────

    def _advance(self) -> None:
        while self._leaving is None and (lost := doomed(self._graph, self._states())):
            name, needed = lost[0]
            self._give_up(self._children[name], DependencyFailed(needed))
        condemned = frozenset(name for name, child in self._children.items() if child.condemned)
        for name in stoppable(self._graph, self._states(), condemned):
            self._stop(self._children[name])
        if self._leaving is not None:
            if not any(child.state.live for child in self._children.values()):
                self._ctx.leave(self._leaving)
            return
        for name in startable(self._graph, self._states(), condemned):
            self._start(self._children[name])
        if tree_is_up(self._graph, self._states()):
            self._ctx.ready()

    def _states(self) -> dict[str, State]:
        return {name: child.state for name, child in self._children.items()}

    def _start(self, child: Child) -> None:
        spec, clock = child.spec, self._runtime.clock
        child.starts(clock.now(), clock.monotonic())
        cell = Cell(
            name=spec.id,
            path=child.address.path,
            owner=self._ctx.path,
            generation=child.generation,
            factory=spec.factory,
            parent=self,
            scope=self.scope,
            runtime=self._runtime,
            inbox_limit=spec.inbox_limit,
        )
        child.cell = cell
        child.address.inbox = cell.inbox
        child.timer = self._later(spec.ready_timeout, _ReadyTimeout(spec.id, child.generation))
        self._emit(events.ChildStarting(clock.now(), child.address.path, child.generation))
        try:
            launch(cell)
        except RuntimeError as error:  # no thread to be had
            self.child_down(spec.id, child.generation, Crashed(error))

    def _stop(self, child: Child) -> None:
        if child.cell is None:
            return
        child.state = State.STOPPING
        child.asked = True
        child.since = self._runtime.clock.monotonic()
        deadline = self._arm_stop_timer(child)
        # After the timer: a test that has seen the event may move its clock.
        self._emit(events.ChildStopping(self._runtime.clock.now(), child.address.path, child.generation))
        child.cell.request_stop(deadline)

    def _arm_stop_timer(self, child: Child) -> float:
        """Within the child's own timeout, and its share of our deadline. Returns the child's deadline.

        When there is less time than the timeouts add up to, all are shortened alike: else a hung child would use up
        what those behind it in the chain need to stop properly.
        """
        child.cancel_timer()
        now = self._runtime.clock.monotonic()
        until = child.since + child.spec.stop_timeout
        if self._deadline is not None:
            share = child.spec.stop_timeout / self._graph.stop_chain[child.spec.id]
            until = min(until, now + max(0.0, self._deadline - now) * share)
        child.timer = self._later(max(0.0, until - now), _StopTimeout(child.spec.id, child.generation))
        return until

    def _leave(self, reason: Reason) -> None:
        """From here on the children only stop. The first reason counts."""
        if self._leaving is not None:
            return
        self._leaving = reason
        for child in self._children.values():
            if child.state.live:
                child.condemned = True
            elif child.state in {State.WAITING, State.BACKOFF}:
                child.cancel_timer()
                child.state = State.STOPPED

    def _later(self, delay: float, message: _Control) -> Timer:
        def fire() -> None:
            self._inbox.offer_control(message)

        return self._runtime.clock.call_later(delay, fire)

    def _emit(self, event: events.Event) -> None:
        self._runtime.emit(event)
