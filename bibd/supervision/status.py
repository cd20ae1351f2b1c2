"""The tree as it stands: immutable, read without asking anybody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from bibd.supervision.plan import State


@dataclass(frozen=True, slots=True)
class ChildStatus:
    """One child. Times are UTC, ``stop_seconds`` how long its last stop took."""

    id: str
    state: State
    generation: int = 0
    restarts: int = 0
    started_at: datetime | None = None
    ready_at: datetime | None = None
    last_error: str | None = None
    stop_seconds: float | None = None
    stop_outcome: str | None = None
    children: tuple[ChildStatus, ...] = ()

    def walk(self, prefix: str = "") -> Iterator[tuple[str, ChildStatus]]:
        """This child and all below it, with their paths."""
        path = f"{prefix}/{self.id}" if prefix else self.id
        yield path, self
        for child in self.children:
            yield from child.walk(path)

    def find(self, name: str) -> ChildStatus:
        """A direct child. Raises KeyError."""
        for child in self.children:
            if child.id == name:
                return child
        raise KeyError(name)

    def with_children(self, children: tuple[ChildStatus, ...]) -> ChildStatus:
        return replace(self, children=children)
