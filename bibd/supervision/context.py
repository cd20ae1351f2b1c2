"""What the kernel gives to an actor. To be used on the actor's own thread, except where said."""

from __future__ import annotations

import threading
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from bibd.supervision.clock import Clock, Timer
from bibd.supervision.errors import SpecError
from bibd.supervision.inbox import Slot
from bibd.supervision.messages import Notice, P, Request
from bibd.supervision.reasons import Finished, Reason
from bibd.supervision.ref import Address, Ref

if TYPE_CHECKING:
    from bibd.supervision.cell import Cell

R = TypeVar("R")
T = TypeVar("T")


class Promise(Generic[R]):
    """A reply that comes later. Any thread may keep it; it is broken when the actor goes down first."""

    __slots__ = ("_forget", "_slot")

    def __init__(self, slot: Slot, forget: Callable[[Slot], None]) -> None:
        self._slot = slot
        self._forget = forget

    def keep(self, value: R) -> None:
        self._slot.put((True, value))
        self._forget(self._slot)

    def fail(self, error: Exception) -> None:
        """Break the promise: the asker's ``ask`` raises ``error``."""
        self._slot.put((False, error))
        self._forget(self._slot)


class Scope:
    """Names that an actor may look up: its siblings, then its supervisor's siblings, and so on up."""

    __slots__ = ("_addresses", "_outer")

    def __init__(self, addresses: dict[str, Address], outer: Scope | None) -> None:
        self._addresses = addresses
        self._outer = outer

    def find(self, name: str) -> Address:
        if name in self._addresses:
            return self._addresses[name]
        if self._outer is None:
            raise SpecError(f"there is no actor {name!r} in this tree")
        return self._outer.find(name)


class Context:
    """One generation's view of the world."""

    def __init__(self, cell: Cell, scope: Scope) -> None:
        self._cell = cell
        self.scope = scope

    @property
    def path(self) -> str:
        return self._cell.path

    @property
    def generation(self) -> int:
        return self._cell.generation

    @property
    def clock(self) -> Clock:
        return self._cell.runtime.clock

    @property
    def random(self) -> Random:
        return self._cell.runtime.random

    @property
    def stop_requested(self) -> threading.Event:
        """Set as soon as somebody asked for the stop, before the actor gets to see it."""
        return self._cell.inbox.stop_requested

    def ref(self, name: str, protocol: type[P]) -> Ref[P]:
        """The actor ``name``, which understands ``protocol``. It need not run yet. Raises SpecError when unknown."""
        del protocol  # for the type checker only
        return Ref[P](self.scope.find(name))

    def me(self, protocol: type[P]) -> Ref[P]:
        """This generation: what is sent here after its end changes nothing."""
        del protocol
        return Ref[P](self._cell.own_address)

    def ready(self) -> None:
        """Report ready, once; later calls change nothing."""
        self._cell.report_up()

    def leave(self, reason: Reason | None = None) -> None:
        """Stop by oneself, after the message that is being handled."""
        self._cell.leave(reason or Finished())

    def after(self, delay: float, msg: Notice[Any]) -> Timer:
        """Send ``msg`` to this generation in ``delay`` seconds."""
        return self._cell.after(delay, msg)

    def promise(self, msg: Request[Any, R]) -> Promise[R]:
        """Take over the reply to the request that is being handled; return LATER from the handler."""
        return self._cell.promise(msg)

    def pipe(
        self,
        work: Callable[[threading.Event], T],
        then: Callable[[T], Notice[Any]],
        failed: Callable[[Exception], Notice[Any]] | None = None,
    ) -> None:
        """Run blocking ``work(cancel)`` on a thread of its own and send ``then(result)`` to this generation.

        An exception becomes ``failed(error)``, or the actor's crash when there is no ``failed`` (or it raises too;
        also SystemExit). ``cancel`` is set when the actor is asked to stop or falls; the actor is down only after
        its jobs have ended, so ``work`` must watch it.
        """
        self._cell.pipe(work, then, failed)
