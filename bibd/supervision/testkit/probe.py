"""An actor that remembers, and waits instead of sleeping."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from bibd.supervision.actor import Actor
from bibd.supervision.events import Event
from bibd.supervision.messages import Answer, Notice, Reply, Request

E = TypeVar("E")


class Journal:
    """Things that happened, from any thread, and a way to wait for one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._entries: list[Any] = []

    def add(self, entry: Any) -> None:
        with self._changed:
            self._entries.append(entry)
            self._changed.notify_all()

    def entries(self, kind: type[E]) -> list[E]:
        with self._changed:
            return [entry for entry in self._entries if isinstance(entry, kind)]

    def expect(
        self, kind: type[E], where: Callable[[E], bool] = lambda _: True, *, timeout: float = 5.0, count: int = 1
    ) -> E:
        """Wait for the ``count``-th entry of ``kind`` that satisfies ``where``. Raises AssertionError with all seen."""

        def found() -> list[E]:
            return [entry for entry in self._entries if isinstance(entry, kind) and where(entry)]

        with self._changed:
            if not self._changed.wait_for(lambda: len(found()) >= count, timeout):
                raise AssertionError(
                    f"no {kind.__name__} (number {count}) within {timeout:g} s; seen: {self._entries!r}"
                )
            return found()[count - 1]


class EventLog(Journal):
    """A journal to subscribe to a system: ``system.subscribe(log.add)``."""

    def order(self, kind: type[Event]) -> list[str]:
        """The names of the children to which ``kind`` happened, in order."""
        return [event.path.rsplit("/", 1)[-1] for event in self.entries(kind)]


class Probe(Actor[Any]):
    """Stands in for an actor: keeps every message in ``journal``, answers a request by ``answers(request)``."""

    def __init__(self, journal: Journal, answers: Callable[[Request[Any, Any]], Any] | None = None) -> None:
        self.journal = journal
        self._answers = answers

    def receive(self, msg: Any) -> Answer:
        self.journal.add(msg)
        if isinstance(msg, Notice):
            return None
        return Reply(self._answers(msg) if self._answers is not None else None)
