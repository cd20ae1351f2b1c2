"""What the admin actor understands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from bibd.admin.server import Call, Responder
from bibd.errors import BibdError
from bibd.supervision import Notice


class Admin:
    """The control plane's protocol."""


@dataclass(frozen=True, slots=True)
class Incoming(Notice[Admin]):
    """A call from the socket that needs more than a look at what is known."""

    call: Call
    responder: Responder


@dataclass(frozen=True, slots=True)
class Answered(Notice[Admin]):
    """Its own job: the answer for everyone who waits for ``method``."""

    method: str
    value: object


@dataclass(frozen=True, slots=True)
class Failed(Notice[Admin]):
    """Its own job: nobody who waits for ``method`` gets an answer."""

    method: str
    error: BibdError


AdminMessage: TypeAlias = Incoming | Answered | Failed
