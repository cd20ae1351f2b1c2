"""A whole tree: start it, wait for it, look at it, stop it. This is what a program embeds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random

from bibd.supervision.cell import Cell, launch
from bibd.supervision.clock import Clock, SystemClock
from bibd.supervision.context import Context, Scope
from bibd.supervision.errors import BlockingAskError, StartFailedError, SupervisionError
from bibd.supervision.events import Emit, TreeDown, TreeUp
from bibd.supervision.inbox import Offer, Ping
from bibd.supervision.messages import P
from bibd.supervision.plan import State, Strategy
from bibd.supervision.reasons import Abandoned, Crashed, Reason, Shutdown, root_error
from bibd.supervision.ref import Ref, handling
from bibd.supervision.restart import Backoff, Intensity
from bibd.supervision.runtime import Runtime
from bibd.supervision.spec import ChildSpec, Graph
from bibd.supervision.status import ChildStatus
from bibd.supervision.supervisor import Supervisor

_GRACE = 0.5
"""Seconds over the declared budget that the root gets to report, before it counts as hung itself."""


@dataclass(frozen=True, slots=True)
class StopReport:
    """How a tree ended: the reason, the seconds the stop took, the last status of everything in it."""

    reason: Reason
    seconds: float
    tree: ChildStatus

    @property
    def abandoned(self) -> tuple[str, ...]:
        """The paths of the children that hung."""
        return tuple(path for path, child in self.tree.walk() if child.state is State.ABANDONED)


class ActorSystem:
    """One supervision tree. ``name`` is the root's. Starts once, stops once.

    Use as a context manager in tests::

        with ActorSystem([ChildSpec("echo", Echo)]) as system:
            assert system.ref("echo", EchoProtocol).ask(Say("hi"), timeout=1) == "hi"

    ``clock`` and ``random`` are arguments for tests; a clock that was passed in is left open.
    """

    def __init__(
        self,
        specs: Iterable[ChildSpec],
        *,
        name: str = "root",
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        intensity: Intensity | None = None,
        backoff: Backoff | None = None,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        specs = tuple(specs)
        self._own_clock = clock is None
        # Jitter needs no cryptographic randomness.
        self.runtime = Runtime(clock or SystemClock(), random or Random())  # noqa: S311
        self.stop_budget = Graph(specs).stop_budget()
        self._changed = threading.Condition()
        self._started = False
        self._up = False
        self._ended: Reason | None = None
        self._ended_at = 0.0
        self._began = self.runtime.clock.monotonic()
        self._stop_began: float | None = None
        self._cell = Cell(
            name=name,
            path=name,
            owner="",
            generation=1,
            factory=self._root,
            parent=self,
            scope=Scope({}, None),
            runtime=self.runtime,
            inbox_limit=1000,
        )
        # Made here, so that its children can be named and looked at before they run.
        self._supervisor = Supervisor(
            self._cell.context, specs, strategy=strategy, intensity=intensity, backoff=backoff
        )

    def _root(self, _: Context) -> Supervisor:
        return self._supervisor

    # ── Parent of the root: called on its thread ─────────────────────────────────────────────────────────────

    def child_up(self, name: str, generation: int) -> None:
        with self._changed:
            self._up = True
            self._changed.notify_all()
        clock = self.runtime.clock
        self.runtime.emit(TreeUp(clock.now(), name, clock.monotonic() - self._began))

    def child_ending(self, name: str, generation: int) -> None:
        pass

    def child_down(self, name: str, generation: int, reason: Reason) -> None:
        with self._changed:
            if self._ended is not None:
                return  # abandoned, and back at last
            self._ended = reason
            self._ended_at = self.runtime.clock.monotonic()
            self._changed.notify_all()
        self.runtime.emit(TreeDown(self.runtime.clock.now(), name, reason))

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Begin; returns at once. Does nothing after a stop. Raises SupervisionError the second time."""
        with self._changed:
            if self._started:
                raise SupervisionError(f"the tree {self._cell.name} was started before", hint="make a new ActorSystem")
            self._started = True
            if self._ended is not None:
                return
        self._began = self.runtime.clock.monotonic()
        try:
            launch(self._cell)
        except RuntimeError as error:  # no thread to be had
            self.child_down(self._cell.name, 1, Crashed(error))

    def wait_ready(self, timeout: float) -> None:
        """Until every significant child is up. Raises StartFailedError (its cause is the child's own exception)."""
        with self._changed:
            self._changed.wait_for(lambda: self._up or self._ended is not None, timeout)
            up, ended = self._up, self._ended
        if ended is not None:
            raise StartFailedError(f"the tree did not start: {ended}") from root_error(ended)
        if not up:
            raise StartFailedError(f"the tree was not ready within {timeout:g} s")

    @property
    def up(self) -> bool:
        return self._up and self._ended is None

    def request_stop(self, timeout: float | None = None) -> None:
        """Begin to stop, whatever is going on; returns at once. Within ``timeout`` seconds, else within the budget."""
        now = self.runtime.clock.monotonic()
        with self._changed:
            if self._stop_began is None:
                self._stop_began = now
            started = self._started
        self._cell.request_stop(None if timeout is None else now + timeout)
        if not started:
            self.child_down(self._cell.name, 1, Shutdown())

    def wait(self, timeout: float | None = None) -> Reason | None:
        """Until the root is down. The reason, or None after ``timeout``."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended is not None, timeout)
            return self._ended

    def stop(self, timeout: float | None = None) -> StopReport:
        """Stop all children in reverse, then the root, and say how it went.

        From a handler, a job or a subscriber of this very tree it cannot wait, since the tree waits for that to end:
        then the stop is requested, and BlockingAskError raised.
        """
        self.request_stop(timeout)
        if handling.runtime is self.runtime:
            raise BlockingAskError(
                f"{threading.current_thread().name} called stop() of the tree that it is part of ({self._cell.name})",
                hint="call request_stop() there, and stop() or wait() outside the tree",
            )
        limit = self.stop_budget if timeout is None else min(timeout, self.stop_budget)
        if self.wait(limit + _GRACE) is None:
            self.child_down(self._cell.name, 1, Abandoned(limit, self._cell.abandon()))
        return self.close()

    def close(self) -> StopReport:
        """After the end: let go of the clock, join the root's thread, and report."""
        thread = self._cell.thread
        if self._own_clock:
            self.runtime.clock.close()
        if thread is not None and self._ended is not None and not isinstance(self._ended, Abandoned):
            thread.join(_GRACE)
        began = self._stop_began
        seconds = max(0.0, self._ended_at - began) if began is not None and self._ended is not None else 0.0
        return StopReport(self._ended or Shutdown(), seconds, self.status())

    def __enter__(self) -> ActorSystem:
        self.start()
        try:
            self.wait_ready(timeout=30)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # ── looking in ───────────────────────────────────────────────────────────────────────────────────────────

    def ref(self, name: str, protocol: type[P]) -> Ref[P]:
        """A child of the root, from outside. Raises SpecError for an unknown name."""
        del protocol
        return Ref[P](self._supervisor.scope.find(name))

    def status(self) -> ChildStatus:
        """The tree as it is now; asks nobody, so it answers whatever hangs."""
        match self._ended:
            case Shutdown():
                state = State.STOPPED
            case Abandoned():
                state = State.ABANDONED
            case None:
                state = State.UP if self._up else State.STARTING
                state = State.STOPPING if self._stop_began is not None else state
            case _:
                state = State.FAILED
        children = self._supervisor.children()
        error = None if self._ended is None or isinstance(self._ended, Shutdown) else str(self._ended)
        return ChildStatus(self._cell.name, state, generation=1, last_error=error, children=children)

    def unresponsive(self, timeout: float) -> tuple[str, ...]:
        """The paths of the actors that took no message for ``timeout`` seconds; for a watchdog."""
        deadline = time.monotonic() + timeout
        pings = [(cell, Ping()) for cell in tuple(self.runtime.cells)]
        asked = [(cell, ping) for cell, ping in pings if cell.inbox.offer_control(ping) is Offer.ACCEPTED]
        return tuple(
            sorted(
                cell.path
                for cell, ping in asked
                if not ping.answered.wait(max(0.0, deadline - time.monotonic())) and cell in self.runtime.cells
            )
        )

    def subscribe(self, subscriber: Emit) -> Callable[[], None]:
        """Call ``subscriber`` with every event of the tree. Returns how to end that."""
        return self.runtime.subscribe(subscriber)
