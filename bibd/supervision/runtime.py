"""What all actors of one system share."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from bibd.supervision.clock import Clock
from bibd.supervision.events import Emit, Event, Undeliverable
from bibd.supervision.ref import handling

if TYPE_CHECKING:
    from bibd.supervision.cell import Cell

_log = logging.getLogger("bibd.supervision")


class Runtime:
    """The clock, the dice, the subscribers to events, and the cells that live."""

    def __init__(self, clock: Clock, random: Random) -> None:
        self.clock = clock
        self.random = random
        self.cells: set[Cell] = set()
        self._subscribers: tuple[Emit, ...] = ()
        self._lock = threading.Lock()
        self._undelivered = 0

    @property
    def undelivered(self) -> int:
        """Messages that reached nobody since the system was made."""
        return self._undelivered

    def subscribe(self, subscriber: Emit) -> Callable[[], None]:
        """Call ``subscriber`` with each event, on the thread where it happens. Returns how to end that."""
        with self._lock:
            self._subscribers = (*self._subscribers, subscriber)

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers = tuple(other for other in self._subscribers if other is not subscriber)

        return unsubscribe

    def emit(self, event: Event) -> None:
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt) and handling.path is None:
                    raise  # somebody pressed Ctrl-C while the main thread happened to be here
                # An observer must never bring down what it observes.
                _log.exception("a subscriber failed on %s", event.name)

    def undeliverable(self, path: str, message: Any, why: str) -> None:
        with self._lock:
            self._undelivered += 1
        if handling.publishing:
            return  # a subscriber that sends every event on to an actor, which is down: it would go round for ever
        handling.publishing = True
        try:
            self.emit(Undeliverable(self.clock.now(), path, type(message).__name__, why))
        finally:
            handling.publishing = False
