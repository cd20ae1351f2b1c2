"""A supervisor's note about one child."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bibd.supervision.cell import Cell
from bibd.supervision.clock import Timer
from bibd.supervision.inbox import NOBODY
from bibd.supervision.plan import State
from bibd.supervision.reasons import Reason
from bibd.supervision.ref import Address
from bibd.supervision.restart import RestartWindow
from bibd.supervision.spec import ChildSpec
from bibd.supervision.status import ChildStatus


@dataclass(slots=True)
class Child:
    """Mutable, and touched on its supervisor's thread alone (``status`` only reads)."""

    spec: ChildSpec
    address: Address
    window: RestartWindow
    state: State = State.WAITING
    generation: int = 0
    restarts: int = 0
    cell: Cell | None = None
    timer: Timer | None = None
    """The one that runs now: ready timeout, stop timeout or backoff; a child is never in two of these."""
    condemned: bool = False
    """Must stop, as soon as nobody who needs it lives."""
    asked: bool = False
    """It has been told to stop. What falls before that has fallen by itself."""
    failure: Reason | None = None
    """Why it is being stopped, when that is its own fault."""
    since: float = 0.0
    """When it entered STARTING or STOPPING (monotonic)."""
    started_at: datetime | None = None
    ready_at: datetime | None = None
    last_error: str | None = None
    stop_seconds: float | None = None
    stop_outcome: str | None = None
    _falls: tuple[float, ...] = ()

    def starts(self, wall: datetime, monotonic: float) -> None:
        self.generation += 1
        self.state = State.STARTING
        self.since = monotonic
        self.started_at = wall
        self.ready_at = None
        self.condemned = False
        self.asked = False

    def went_down(self, reason: Reason, stop_seconds: float) -> None:
        self.address.inbox = NOBODY
        self.stop_seconds = stop_seconds
        self.stop_outcome = str(reason)

    def cancel_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def next_attempt(self, now: float) -> int:
        """The number of this restart among the recent ones: after a quiet period the backoff begins anew."""
        period = self.window.intensity.period
        self._falls = (*(at for at in self._falls if at > now - period), now)
        return len(self._falls)

    def status(self) -> ChildStatus:
        actor = self.cell.actor if self.cell is not None else None
        return ChildStatus(
            id=self.spec.id,
            state=self.state,
            generation=self.generation,
            restarts=self.restarts,
            started_at=self.started_at,
            ready_at=self.ready_at,
            last_error=self.last_error,
            stop_seconds=self.stop_seconds,
            stop_outcome=self.stop_outcome,
            children=actor.children() if actor is not None else (),
        )
