"""Typed messages: the reply type stands in the request, so that a type checker sees a wrong ask.

``P`` names whose protocol a message belongs to (a plain marker class, one an actor); ``R`` is the reply::

    class Health: "The health checker's protocol."

    @dataclass(frozen=True, slots=True)
    class GetVerdict(Request[Health, Verdict]): ...

    @dataclass(frozen=True, slots=True)
    class ProbeNow(Notice[Health]): ...

    HealthMessage: TypeAlias = GetVerdict | ProbeNow
"""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar

P = TypeVar("P")
R = TypeVar("R")


class Reply:
    """A handler's answer. Made by ``Request.reply`` alone, which checks its type."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Notice(Generic[P]):
    """A message to ``P`` that has no answer."""

    __slots__ = ()


class Request(Generic[P, R]):
    """A message to ``P`` that is answered by an ``R``."""

    __slots__ = ()

    def reply(self, value: R) -> Reply:
        return Reply(value)


class _Later:
    __slots__ = ()


LATER: Final = _Later()
"""What a handler returns when it has taken a ``Promise`` for the request."""

Answer = Reply | _Later | None
"""What ``Actor.receive`` returns: a reply, LATER, or (for a notice) nothing."""
