"""One generation of one actor, on pykka. Every private hook of pykka that we use is in this file.

pykka 4.5 gives the thread, the registry and the envelope of foreign ``stop`` calls. Its own loop is replaced,
because there (measured) a raising ``on_start`` calls neither ``on_failure`` nor ``on_stop``, an exception under an
ask goes to the caller while the actor lives on, an ask can race a stop and never be answered, and SystemExit in a
handler stops every actor of the process.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import pykka
from pykka.messages import _ActorStop

from bibd.supervision.actor import Actor
from bibd.supervision.clock import Timer
from bibd.supervision.context import Context, Promise, Scope
from bibd.supervision.errors import ActorCrashedError, ActorDownError, UnansweredRequestError
from bibd.supervision.inbox import Crash, Inbox, Offer, Ping, Slot, Stop
from bibd.supervision.messages import LATER, Notice, Reply, Request
from bibd.supervision.reasons import Crashed, Reason, Shutdown
from bibd.supervision.ref import Address, handling
from bibd.supervision.runtime import Runtime

R = TypeVar("R")
T = TypeVar("T")


class Parent(Protocol):
    """Who is told of a child's life: once up at most, once ending and once down exactly."""

    def child_up(self, name: str, generation: int) -> None: ...
    def child_ending(self, name: str, generation: int) -> None: ...
    def child_down(self, name: str, generation: int, reason: Reason) -> None: ...


class PykkaInbox(Inbox):
    """pykka's inbox protocol. Only its stop message comes this way; ours go through ``offer``."""

    def put(self, envelope: Any, /) -> None:
        if not isinstance(envelope.message, _ActorStop):
            raise TypeError("send messages through a Ref: this actor is not a plain pykka actor")
        self.offer_control(Stop())
        if envelope.reply_to is not None:
            envelope.reply_to.set(None)

    def get(self) -> Any:
        return self.take()

    def empty(self) -> bool:
        return not len(self)


class Cell(pykka.ThreadingActor):
    """Runs ``factory(context)`` from its making to its end, and reports to ``parent``."""

    # An abandoned thread must not keep the process alive.
    use_daemon_thread = True

    def __init__(
        self,
        *,
        name: str,
        path: str,
        owner: str,
        generation: int,
        factory: Callable[[Context], Actor[Any]],
        parent: Parent,
        scope: Scope,
        runtime: Runtime,
        inbox_limit: int,
    ) -> None:
        super().__init__()
        self.name = name
        self.path = path
        self.generation = generation
        self.runtime = runtime
        self.inbox = PykkaInbox(inbox_limit)
        self.actor_inbox = self.inbox
        self.actor_ref.actor_inbox = self.inbox
        self.own_address = Address(path, owner, runtime, self.inbox)
        self.actor: Actor[Any] | None = None
        self.down: Reason | None = None
        """How it went down: set just before its parent is told."""
        self.thread: threading.Thread | None = None
        self._factory = factory
        self._parent = parent
        self.context = Context(self, scope)
        self._reported_up = False
        self._leaving: Reason | None = None
        self._request: tuple[Any, Slot | None] = (None, None)
        self._promised: set[Slot] = set()
        self._timers: list[Timer] = []
        self._jobs: list[threading.Thread] = []
        self._cancel_jobs = self.inbox.stop_requested

    # ── pykka's hooks ────────────────────────────────────────────────────────────────────────────────────────

    def _start_actor_loop(self) -> None:
        self.thread = threading.Thread(
            target=self._actor_loop, name=f"{self.path}#{self.generation}", daemon=self.use_daemon_thread
        )
        try:
            self.thread.start()
        except RuntimeError:
            self.thread = None  # what has not begun cannot be joined
            raise

    def _actor_loop(self) -> None:
        handling.path, handling.runtime = self.path, self.runtime
        reason: Reason = Shutdown()
        try:
            reason = self._live()
        except BaseException as error:  # SystemExit too: one actor's fall is not the process's
            reason = Crashed(error)
        finally:
            self._end(reason)

    # ── the life ─────────────────────────────────────────────────────────────────────────────────────────────

    def _live(self) -> Reason:
        if self.inbox.stop_requested.is_set():
            return Shutdown()
        actor = self.actor = self._factory(self.context)
        actor.on_start()
        if actor.auto_ready:
            self.report_up()
        take, receive = self.inbox.take, actor.receive
        while self._leaving is None:
            message, slot = take()
            kind = message.__class__
            if kind is Stop:
                if actor.on_stop_requested(message.deadline) or self.inbox.closed:
                    return Shutdown()  # closed: abandoned long ago, so no message will ever make it leave
            elif kind is Crash:
                raise message.error
            elif kind is Ping:
                message.answered.set()
            elif slot is None:
                receive(message)
            else:
                self._answer(message, slot, receive)
        return self._leaving

    def _answer(self, message: Any, slot: Slot, receive: Callable[[Any], Any]) -> None:
        self._request = (message, slot)
        try:
            answer = receive(message)
            if answer.__class__ is Reply:
                slot.put((True, answer.value))
            else:
                self._check_promised(message, answer)
        except BaseException as error:
            crash = ActorCrashedError(f"{self.path} crashed over {type(message).__name__}")
            crash.__cause__ = error
            slot.put((False, crash))
            raise
        finally:
            self._request = (None, None)

    def _check_promised(self, message: Any, answer: Any) -> None:
        if answer is not LATER or self._request[1] is not None:
            raise UnansweredRequestError(f"{self.path} returned from {type(message).__name__} without a reply")

    def _end(self, reason: Reason) -> None:
        """Every way out comes through here, once: jobs, on_stop, unanswered asks, then Down."""
        self._parent.child_ending(self.name, self.generation)
        self._wind_up()
        if self.actor is not None:
            try:
                self.actor.on_stop(reason)
            except BaseException as error:  # must not hide the Down
                reason = reason if isinstance(reason, Crashed) else Crashed(error)
        self._wind_up()  # again, since on_stop may have begun something
        self._break_promises("went down")
        pykka.ActorRegistry.unregister(self.actor_ref)
        self.actor_stopped.set()
        self.down = reason
        self._parent.child_down(self.name, self.generation, reason)
        self.runtime.cells.discard(self)

    def _wind_up(self) -> None:
        self._cancel()
        self._refuse_the_waiting("went down")
        for job in self._jobs:
            job.join()

    def _cancel(self) -> None:
        self._cancel_jobs.set()
        for timer in self._timers:
            timer.cancel()

    def _refuse_the_waiting(self, how: str) -> None:
        """Close first, then drain: a sender past a liveness check would otherwise wait for ever."""
        for message, slot in self.inbox.close():
            if slot is not None:
                slot.put((False, ActorDownError(f"{self.path} {how} before it answered {type(message).__name__}")))
            unseen = message.error if isinstance(message, Crash) else message
            self.runtime.undeliverable(self.path, unseen, Offer.CLOSED.value)

    def _break_promises(self, how: str) -> None:
        _, slot = self._request
        for waiting in {*self._promised, *([slot] if slot is not None else [])}:
            waiting.put((False, ActorDownError(f"{self.path} {how} before it answered")))

    # ── from the supervisor ──────────────────────────────────────────────────────────────────────────────────

    def request_stop(self, deadline: float | None = None) -> None:
        self.inbox.offer_control(Stop(deadline))

    def abandon(self, how: str = "was abandoned") -> str:
        """Give up on a hung thread: its askers are told, its stack (and its jobs') is returned."""
        self._cancel()
        stack = self.stack()
        self._refuse_the_waiting(how)
        self._break_promises(how)
        pykka.ActorRegistry.unregister(self.actor_ref)
        self.runtime.cells.discard(self)
        for below in tuple(self.runtime.cells):
            if below.path.startswith(f"{self.path}/"):
                below.request_stop()  # nobody else will: this was their supervisor
        return stack

    def stack(self) -> str:
        frames = sys._current_frames()
        found: list[str] = []
        for thread in [self.thread, *self._jobs]:
            frame = frames.get(thread.ident or -1) if thread is not None else None
            if thread is not None and frame is not None:
                found += [f'Thread "{thread.name}":\n', *traceback.format_stack(frame)]
        return "".join(found)

    @property
    def idle(self) -> bool:
        return self.inbox.idle and not any(job.is_alive() for job in tuple(self._jobs))

    # ── from the actor, through its Context ──────────────────────────────────────────────────────────────────

    def report_up(self) -> None:
        if not self._reported_up:
            self._reported_up = True
            self._parent.child_up(self.name, self.generation)

    def leave(self, reason: Reason) -> None:
        self._leaving = reason

    def promise(self, message: Request[Any, R]) -> Promise[R]:
        current, slot = self._request
        if current is message and slot is not None:
            self._promised.add(slot)
            self._request = (message, None)
            return Promise[R](slot, self._promised.discard)
        raise UnansweredRequestError(f"{self.path} promised a reply to a request that it is not handling")

    def after(self, delay: float, message: Notice[Any]) -> Timer:
        timer = self.runtime.clock.call_later(delay, lambda: self._deliver(message))
        self._timers = [other for other in self._timers if not other.spent]
        self._timers.append(timer)
        return timer

    def pipe(
        self,
        work: Callable[[threading.Event], T],
        then: Callable[[T], Notice[Any]],
        failed: Callable[[Exception], Notice[Any]] | None,
    ) -> None:
        def message() -> Notice[Any]:
            try:
                return then(work(self._cancel_jobs))
            except Exception as error:
                if failed is None:
                    raise
                return failed(error)

        def run() -> None:
            handling.runtime = self.runtime
            try:
                self._deliver(message())
            except BaseException as error:  # SystemExit too, which a thread would swallow without a word
                if self.inbox.offer_control(Crash(error)) is Offer.CLOSED:
                    self.runtime.undeliverable(self.path, error, "stale")

        self._jobs = [job for job in self._jobs if job.is_alive()]
        job = threading.Thread(target=run, name=f"{self.path}#{self.generation}:job", daemon=True)
        job.start()
        self._jobs.append(job)

    def _deliver(self, message: Notice[Any]) -> None:
        if self.inbox.offer(message, unbounded=True) is Offer.CLOSED:
            self.runtime.undeliverable(self.path, message, "stale")


def launch(cell: Cell) -> None:
    """``Actor.start`` with an object that we made ourselves. Raises RuntimeError when no thread can be had."""
    pykka.ActorRegistry.register(cell.actor_ref)
    cell.runtime.cells.add(cell)
    try:
        cell._start_actor_loop()
    except BaseException:
        cell.abandon("could not start")
        raise
