"""Where to send messages: a name that stays, whoever lives there now."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from bibd.supervision.errors import (
    ActorDownError,
    AskTimeoutError,
    BlockingAskError,
    InboxFullError,
)
from bibd.supervision.inbox import NOBODY, Inbox, Offer, Slot
from bibd.supervision.messages import Notice, P, Request

if TYPE_CHECKING:
    from bibd.supervision.runtime import Runtime

R = TypeVar("R")


class Handling(threading.local):
    """What runs on this thread, if it is one of a tree's."""

    path: str | None = None
    """Whose handler it is. None on the thread of a piped job, which may block."""
    runtime: Runtime | None = None
    """Whose tree cannot end before this thread does: a handler's or a job's."""
    publishing: bool = False
    """A subscriber is being told of an undeliverable message."""


handling = Handling()


class Address:
    """A place in the tree. ``inbox`` is that of the generation that lives there, or NOBODY."""

    __slots__ = ("inbox", "owner", "path", "runtime")

    def __init__(self, path: str, owner: str, runtime: Runtime, inbox: Inbox = NOBODY) -> None:
        self.path = path
        self.owner = owner
        self.runtime = runtime
        self.inbox = inbox


class Ref(Generic[P]):
    """An actor that understands ``P``, seen from outside. Any thread may use it; it survives restarts."""

    __slots__ = ("_address",)

    def __init__(self, address: Address) -> None:
        self._address = address

    @property
    def path(self) -> str:
        return self._address.path

    def tell(self, msg: Notice[P]) -> None:
        """Send and forget. What cannot be delivered is counted and published as ``Undeliverable``."""
        offer = self._address.inbox.offer(msg)
        if offer is not Offer.ACCEPTED:
            self._address.runtime.undeliverable(self._address.path, msg, offer.value)

    def ask(self, msg: Request[P, R], *, timeout: float) -> R:
        """Send and wait for the reply, ``timeout`` seconds at most.

        Inside a handler this is for one's own children only: two actors that ask each other would hang, so
        anything else raises BlockingAskError at once. From a handler, ``ctx.pipe`` the ask instead.
        Raises AskTimeoutError, ActorDownError (nobody there, or gone before it replied), ActorCrashedError (it fell
        over this very request), InboxFullError.
        """
        address = self._address
        caller = handling.path
        if caller is not None and caller != address.owner:
            raise BlockingAskError(
                f"{caller} asked {address.path} ({type(msg).__name__}) and would block on it inside a handler",
                hint="pipe the ask to a worker thread (ctx.pipe) or send a notice",
            )
        slot: Slot = SimpleQueue()
        offer = address.inbox.offer(msg, slot)
        if offer is not Offer.ACCEPTED:
            address.runtime.undeliverable(address.path, msg, offer.value)
            if offer is Offer.FULL:
                raise InboxFullError(f"the inbox of {address.path} is full, {type(msg).__name__} was refused")
            raise ActorDownError(f"{address.path} is not running, so it cannot answer {type(msg).__name__}")
        try:
            answered, value = slot.get(timeout=timeout if timeout > 0 else 0)  # it refuses negative numbers
        except Empty:
            raise AskTimeoutError(f"{address.path} did not answer {type(msg).__name__} within {timeout:g} s") from None
        if answered:
            return cast(R, value)
        raise value

    def __repr__(self) -> str:
        return f"<Ref {self._address.path}>"
