"""Why a child went down. Values, so that a policy can be a function of them."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import TypeAlias

from bibd.errors import BibdError


@dataclass(frozen=True, slots=True)
class Finished:
    """It ended by itself, with its work done."""

    def __str__(self) -> str:
        return "finished"


@dataclass(frozen=True, slots=True)
class Shutdown:
    """It was asked to stop, and did."""

    def __str__(self) -> str:
        return "stopped"


@dataclass(frozen=True, slots=True)
class Crashed:
    """An exception left a handler, ``on_start``, ``on_stop`` or a piped job."""

    error: BaseException

    def __str__(self) -> str:
        first_line = str(self.error).split("\n", 1)[0]
        if isinstance(self.error, BibdError):
            return first_line  # written for people as it is
        return f"{type(self.error).__name__}: {first_line}" if first_line else type(self.error).__name__

    def traceback(self) -> str:
        return "".join(traceback.format_exception(self.error))


@dataclass(frozen=True, slots=True)
class NotReady:
    """It did not report ready within its ``ready_timeout``."""

    seconds: float

    def __str__(self) -> str:
        return f"not ready within {self.seconds:g} s"


@dataclass(frozen=True, slots=True)
class Abandoned:
    """It did not stop within its ``stop_timeout``; its thread may still run. ``stack`` says where it hung."""

    seconds: float
    stack: str

    def __str__(self) -> str:
        return f"abandoned: did not stop within {self.seconds:g} s"


@dataclass(frozen=True, slots=True)
class DependencyFailed:
    """A child that it needs is gone for good."""

    child: str

    def __str__(self) -> str:
        return f"{self.child}, which it needs, failed"


@dataclass(frozen=True, slots=True)
class ChildFailed:
    """A significant child is gone for good, so its supervisor is too."""

    child: str
    reason: Reason

    def __str__(self) -> str:
        return f"{self.child}: {self.reason}"


@dataclass(frozen=True, slots=True)
class RestartsExceeded:
    """More than ``limit`` restarts within ``period`` seconds."""

    child: str
    limit: int
    period: float
    reason: Reason

    def __str__(self) -> str:
        return f"more than {self.limit} restarts in {self.period:g} s, the last of {self.child}: {self.reason}"


Reason: TypeAlias = (
    Finished | Shutdown | Crashed | NotReady | Abandoned | DependencyFailed | ChildFailed | RestartsExceeded
)


def root_error(reason: Reason | None) -> BaseException | None:
    """The exception at the bottom of an escalation, if there was one."""
    match reason:
        case Crashed(error=error):
            return error
        case ChildFailed(reason=inner) | RestartsExceeded(reason=inner):
            return root_error(inner)
        case _:
            return None
