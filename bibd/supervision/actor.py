"""What a child is: the contract between an actor and the kernel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Generic, TypeVar

from bibd.supervision.messages import Answer
from bibd.supervision.reasons import Reason
from bibd.supervision.status import ChildStatus

M = TypeVar("M")


class Actor(ABC, Generic[M]):
    """One thread, one inbox, one message at a time. ``M`` is the union of the messages it handles.

    The kernel guarantees
    - ``on_start``, ``receive`` and ``on_stop`` run on one thread, never two at once;
    - ``on_stop`` runs exactly once after the factory returned, whatever happened since;
    - any exception that leaves a method is a crash: the asker (if any) gets ActorCrashedError, the supervisor a
      Down. Bad input is not a crash: reply with a value that says so.

    It cannot guarantee that a method returns. One that blocks longer than the child's ``stop_timeout`` is
    abandoned: block in ``ctx.pipe`` and watch ``cancel`` there.
    """

    auto_ready: ClassVar[bool] = True
    """Ready as soon as ``on_start`` has returned; False when the actor calls ``ctx.ready()`` later."""

    def on_start(self) -> None:
        """Before the first message."""

    @abstractmethod
    def receive(self, msg: M) -> Answer:
        """Handle one message: ``msg.reply(value)`` for a request, LATER after ``ctx.promise(msg)``, else None."""

    def on_stop_requested(self, deadline: float | None) -> bool:  # part of the contract
        """Asked to stop, by ``deadline`` (monotonic) if there is one. False: not yet, ``ctx.leave()`` will follow.

        Called again when somebody is in more of a hurry, then with an earlier deadline.
        """
        return True

    def on_stop(self, reason: Reason) -> None:
        """After the last message, and after all piped jobs have ended."""

    def children(self) -> tuple[ChildStatus, ...]:
        """Who lives below, for the status tree. Read on any thread."""
        return ()
