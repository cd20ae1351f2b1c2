"""An actor that does what a test tells it, and trees of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Any, TypeAlias

from bibd.supervision import (
    Actor,
    ActorSystem,
    Answer,
    Backoff,
    ChildSpec,
    Context,
    Intensity,
    Notice,
    Ref,
    Request,
    Strategy,
    Supervisor,
)
from bibd.supervision.events import ChildDown
from bibd.supervision.reasons import Reason
from bibd.supervision.testkit import EventLog, ManualClock

Act: TypeAlias = Callable[[Context], object]


class BoomError(Exception):
    """Somebody's bug."""


class Stage:
    """The puppets' protocol."""


@dataclass(frozen=True, slots=True)
class Do(Notice[Stage]):
    """Run ``act`` in the handler."""

    act: Act


@dataclass(frozen=True, slots=True)
class Fetch(Request[Stage, Any]):
    """Reply with what ``act`` returns."""

    act: Act


@dataclass(frozen=True, slots=True)
class Defer(Request[Stage, str]):
    """Return ``answer`` from the handler once ``act`` has run: to promise, or to forget the reply."""

    act: Callable[[Context, Defer], Answer]


def nothing(_: Context) -> None:
    """The act of a puppet that was told nothing."""


class Puppet(Actor[Do | Fetch | Defer]):
    def __init__(
        self, ctx: Context, start: Act = nothing, stop: Act = nothing, asked: Callable[[], bool] | None = None
    ):
        self.ctx = ctx
        self._start = start
        self._stop = stop
        self._asked = asked

    def on_start(self) -> None:
        self._start(self.ctx)

    def receive(self, msg: Do | Fetch | Defer) -> Answer:
        match msg:
            case Do(act=act):
                act(self.ctx)
                return None
            case Fetch(act=act):
                return msg.reply(act(self.ctx))
            case Defer(act=deferred):
                return deferred(self.ctx, msg)

    def on_stop_requested(self, deadline: float | None) -> bool:
        return self._asked() if self._asked is not None else True

    def on_stop(self, reason: Reason) -> None:
        self._stop(self.ctx)


class LatePuppet(Puppet):
    """Ready only when a message makes it call ``ctx.ready()``."""

    auto_ready = False


def child(
    name: str,
    *,
    after: Iterable[str] = (),
    start: Act = nothing,
    stop: Act = nothing,
    asked: Callable[[], bool] | None = None,
    late: bool = False,
    **spec: Any,
) -> ChildSpec:
    kind = LatePuppet if late else Puppet
    return ChildSpec(name, lambda ctx: kind(ctx, start, stop, asked), after=tuple(after), **spec)


def nest(
    name: str, *specs: ChildSpec, after: Iterable[str] = (), strategy: Strategy | None = None, **spec: Any
) -> ChildSpec:
    """A supervisor as a child."""
    strategy = strategy or Strategy.ONE_FOR_ONE
    return ChildSpec(name, lambda ctx: Supervisor(ctx, specs, strategy=strategy), after=tuple(after), **spec)


class Tree:
    """A system under test with all that a test looks at."""

    def __init__(
        self,
        *specs: ChildSpec,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        intensity: Intensity | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self.clock = ManualClock()
        self.log = EventLog()
        self.system = ActorSystem(
            specs,
            strategy=strategy,
            intensity=intensity,
            backoff=backoff or Backoff(first=1.0, jitter=0.0),
            clock=self.clock,
            random=Random(0),  # noqa: S311 - for jitter
        )
        self.system.subscribe(self.log.add)

    def up(self) -> Tree:
        self.system.start()
        self.system.wait_ready(5)
        return self

    def tell(self, name: str, act: Act) -> None:
        self.system.ref(name, Stage).tell(Do(act))

    def fetch(self, name: str, act: Act) -> Any:
        return self.system.ref(name, Stage).ask(Fetch(act), timeout=5)


def raising(error: BaseException) -> Act:
    def act(_: Context) -> None:
        raise error

    return act


def waiting(gate: threading.Event) -> Act:
    """Hang until the test is over (or 30 s, so that a failed test ends too)."""

    def act(_: Context) -> None:
        gate.wait(30)

    return act


def once(act: Act) -> Act:
    """Only in the first generation."""

    def first(ctx: Context) -> None:
        if ctx.generation == 1:
            act(ctx)

    return first


def signalling(reached: threading.Event, act: Act) -> Act:
    """Say so, then act."""

    def signalled(ctx: Context) -> None:
        reached.set()
        act(ctx)

    return signalled


def downs(tree: Tree, path: str = "root/a") -> list[ChildDown]:
    return [event for event in tree.log.entries(ChildDown) if event.path == path]


def stop_under_the_clock(tree: Tree, seconds: float = 60.0) -> Reason | None:
    """Stop a tree in which somebody may hang: move the clock until it is down."""
    tree.system.request_stop()
    deadline = time.monotonic() + 10
    while (reason := tree.system.wait(0.002)) is None and time.monotonic() < deadline:
        tree.clock.advance(0.5)
    return reason


def supervisor_of(tree: Tree, name: str) -> Supervisor:
    (cell,) = [cell for cell in tree.system.runtime.cells if cell.name == name]
    assert isinstance(cell.actor, Supervisor)
    return cell.actor


def ref_of(tree: Tree, supervisor: str, name: str) -> Ref[Stage]:
    """A child of a nested supervisor."""
    return Ref[Stage](supervisor_of(tree, supervisor).scope.find(name))
