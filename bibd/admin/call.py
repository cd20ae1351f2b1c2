"""What passes between the admin server and those who handle its calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from bibd.errors import BibdError


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as the kernel knows it (SO_PEERCRED, unix(7)); pid 0 is one of another namespace."""

    pid: int
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Call:
    """``params`` is the method's parameter object (bibd.admin.methods)."""

    method: str
    params: object
    peer: Peer


class Responder(Protocol):
    """Answers one call, from any thread.

    The first result or error wins; later ones, and a client that has gone, are ignored. ``result`` takes a dataclass of
    bibd.admin.schema or what JSON holds; ``progress`` raises TypeError or ValueError for anything that JSON doesn't.
    """

    def result(self, value: object) -> None: ...
    def error(self, error: BibdError) -> None: ...
    def progress(self, value: Mapping[str, object]) -> None: ...


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what.

    ``event``: requested, done, failed (``detail`` is its message), or refused (a stranger's connection, no method).
    """

    peer: Peer
    method: str
    event: str
    detail: str = ""
    params: object = None
    """The method's parameter object, None when there is no such method."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may take from the others. Beyond them a request is refused, or its connection closed."""

    line_bytes: int = 64 * 1024
    outgoing_bytes: int = 1024 * 1024
    pending: int = 16
    connections: int = 64
    # A half-sent line, or an answer that nobody reads, for this long.
    stall_seconds: float = 10.0
    # Above, a connection's requests wait in the kernel's buffer; at this rate it takes about a tenth of a core.
    requests_per_second: float = 1000.0
    burst: int = 100
