"""What happens in a tree, as values: each has a text for people and a map for machines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TypeAlias

from bibd.supervision.reasons import Crashed, Reason


@dataclass(frozen=True, slots=True)
class Event:
    """``path`` is the child's place in the tree, ``root/health``; ``at`` the wall clock in UTC."""

    at: datetime
    path: str

    @property
    def name(self) -> str:
        return type(self).__name__

    def text(self) -> str:
        raise NotImplementedError

    def as_dict(self) -> dict[str, str | int | float]:
        """JSON-ready; fields as declared, ``event`` first."""
        found: dict[str, str | int | float] = {"event": self.name}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, datetime):
                value = value.isoformat()  # RFC 3339
            found[field.name] = value if isinstance(value, str | int | float) else str(value)
        return found


@dataclass(frozen=True, slots=True)
class ChildStarting(Event):
    generation: int

    def text(self) -> str:
        return f"{self.path} starting" + (f" (generation {self.generation})" if self.generation > 1 else "")


@dataclass(frozen=True, slots=True)
class ChildUp(Event):
    generation: int
    seconds: float

    def text(self) -> str:
        return f"{self.path} up after {self.seconds:.3f} s"


@dataclass(frozen=True, slots=True)
class ChildStopping(Event):
    generation: int

    def text(self) -> str:
        return f"{self.path} stopping"


@dataclass(frozen=True, slots=True)
class ChildDown(Event):
    """Exactly one a generation, whatever way it ended. ``seconds``: how long its stop took, 0 when it fell."""

    generation: int
    reason: Reason
    seconds: float

    def text(self) -> str:
        took = f" after {self.seconds:.3f} s" if self.seconds else ""
        return f"{self.path} down{took}: {self.reason}"

    @property
    def traceback(self) -> str:
        return self.reason.traceback() if isinstance(self.reason, Crashed) else ""


@dataclass(frozen=True, slots=True)
class ChildAbandoned(Event):
    generation: int
    stack: str

    def text(self) -> str:
        return f"{self.path} hangs and is abandoned; its stack:\n{self.stack}"


@dataclass(frozen=True, slots=True)
class RestartScheduled(Event):
    attempt: int
    delay: float
    reason: Reason

    def text(self) -> str:
        return f"{self.path} will restart in {self.delay:.2f} s (attempt {self.attempt}): {self.reason}"


@dataclass(frozen=True, slots=True)
class ChildGone(Event):
    """A child that the tree can do without will not come back."""

    reason: Reason

    def text(self) -> str:
        return f"{self.path} is given up: {self.reason}"


@dataclass(frozen=True, slots=True)
class Escalated(Event):
    """A supervisor gives up: it stops its children, then itself."""

    reason: Reason

    def text(self) -> str:
        return f"{self.path} gives up: {self.reason}"


@dataclass(frozen=True, slots=True)
class Undeliverable(Event):
    """A message found nobody (``why``: closed, full) or came from a former generation (stale)."""

    message: str
    why: str

    def text(self) -> str:
        return f"{self.path}: {self.message} not delivered ({self.why})"


@dataclass(frozen=True, slots=True)
class TreeUp(Event):
    """The root is ready, for the first time: every significant child is up."""

    seconds: float

    def text(self) -> str:
        return f"{self.path} ready after {self.seconds:.3f} s"


@dataclass(frozen=True, slots=True)
class TreeDown(Event):
    """The root has ended, and with it everything; no event follows."""

    reason: Reason

    def text(self) -> str:
        return f"{self.path} ended: {self.reason}"


Emit: TypeAlias = Callable[[Event], None]
