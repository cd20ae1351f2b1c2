"""Two lanes into an actor: control overtakes work, work is bounded."""

from __future__ import annotations

import threading
from collections import deque
from enum import Enum
from queue import SimpleQueue
from typing import Any, Final, TypeAlias

Slot: TypeAlias = SimpleQueue[tuple[bool, Any]]
"""Where one reply goes: (True, value) or (False, exception). The first one counts; nobody reads a second."""

Entry: TypeAlias = tuple[Any, Slot | None]
"""A message, and where its reply goes."""


class Offer(Enum):
    """What became of a message that was offered to an inbox."""

    ACCEPTED = "accepted"
    FULL = "full"
    CLOSED = "closed"


class Stop:
    """Control: leave. ``deadline`` (clock.monotonic()) is when the asker will wait no longer."""

    __slots__ = ("deadline",)

    def __init__(self, deadline: float | None = None) -> None:
        self.deadline = deadline


class Crash:
    """Control: raise this in the actor's thread (a piped job failed and nobody handles that)."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Ping:
    """Control: say that you still take messages."""

    __slots__ = ("answered",)

    def __init__(self) -> None:
        self.answered = threading.Event()


class Inbox:
    """Many senders, one receiver.

    A ``SimpleQueue`` of tokens wakes the receiver (it blocks in C, without a Python-level condition);
    the messages themselves lie in two deques. Senders hold a lock for as long as one append takes, so that
    nothing can slip in after ``close``: a sender past a liveness check would otherwise wait for ever.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._control: deque[Entry] = deque()
        self._work: deque[Entry] = deque()
        self._tokens: SimpleQueue[None] = SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._accepted = 0
        self._taken = 0
        self.stop_requested = threading.Event()

    def offer(self, message: Any, slot: Slot | None = None, *, unbounded: bool = False) -> Offer:
        """Put into the work lane. ``unbounded``: one's own timers and jobs, which are bounded by their number."""
        with self._lock:
            if self._closed:
                return Offer.CLOSED
            if len(self._work) >= self._limit and not unbounded:
                return Offer.FULL
            self._work.append((message, slot))
            self._accepted += 1
        self._tokens.put(None)
        return Offer.ACCEPTED

    def offer_control(self, message: Any, slot: Slot | None = None) -> Offer:
        """Put into the control lane: handled before any work, never refused for lack of room."""
        if isinstance(message, Stop):
            self.stop_requested.set()
        with self._lock:
            if self._closed:
                return Offer.CLOSED
            self._control.append((message, slot))
            self._accepted += 1
        self._tokens.put(None)
        return Offer.ACCEPTED

    def take(self) -> Entry:
        """Wait for the next message. Each call says that the one taken before has been dealt with."""
        self._taken += 1
        self._tokens.get()
        try:
            return self._control.popleft()
        except IndexError:
            pass
        try:
            return self._work.popleft()
        except IndexError:
            return Stop(), None  # closed under an abandoned receiver, which comes back at last

    def close(self) -> list[Entry]:
        """Refuse from now on; the messages nobody will handle any more. Of control, only a Crash is worth a word."""
        with self._lock:
            self._closed = True
            left = [*(entry for entry in self._control if isinstance(entry[0], Crash)), *self._work]
            self._control.clear()
            self._work.clear()
        self._tokens.put(None)
        return left

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def accepted(self) -> int:
        """How many messages were ever let in."""
        return self._accepted

    @property
    def idle(self) -> bool:
        """The receiver waits, and there is nothing for it to take. Once closed, it is on its way out: not idle."""
        with self._lock:
            return not self._closed and self._taken == self._accepted + 1

    def __len__(self) -> int:
        return len(self._control) + len(self._work)


def _closed_inbox() -> Inbox:
    inbox = Inbox(limit=0)
    inbox.close()
    return inbox


NOBODY: Final = _closed_inbox()
"""Where an address points while nobody is home."""
