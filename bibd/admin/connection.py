"""One client: its half-read line, its unsent answers, its rate. Knows no selector and no thread."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from bibd.admin.call import Limits, Peer

if TYPE_CHECKING:
    from bibd.admin.pending import PendingCall

RECEIVE_BYTES = 16 * 1024


class Connection:
    """Owned by the server's thread."""

    def __init__(self, sock: socket.socket, peer: Peer, limits: Limits, now: float) -> None:
        self.sock = sock
        self.peer = peer
        self.pending: set[PendingCall] = set()
        self.closed = False
        self.finishing = False  # nothing more is read; closed when everything is answered
        self.mask = 0  # what the selector watches
        self.idle_since = now
        self._limits = limits
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self._line_since: float | None = None
        self._unsent_since: float | None = None
        self._next_turn = now

    @property
    def has_line(self) -> bool:
        return b"\n" in self._incoming

    @property
    def has_unsent(self) -> bool:
        return bool(self._outgoing)

    @property
    def has_half_line(self) -> bool:
        return bool(self._incoming) and not self.has_line

    @property
    def is_oversized(self) -> bool:
        """The current line is longer than allowed, whether its end has come or not."""
        end = self._incoming.find(b"\n")
        return (len(self._incoming) if end < 0 else end) > self._limits.line_bytes

    @property
    def is_idle(self) -> bool:
        return not (self.pending or self._incoming or self._outgoing)

    def receive(self, now: float) -> bool:
        """Read once; False at the end of the stream. Raises OSError, and BlockingIOError when nothing is there."""
        chunk = self.sock.recv(RECEIVE_BYTES)
        self._incoming += chunk
        self.idle_since = now
        if self._line_since is None:
            self._line_since = now
        return bool(chunk)

    def take_line(self, now: float) -> bytes:
        """The next complete line, which there must be."""
        end = self._incoming.index(b"\n") + 1
        line = bytes(self._incoming[:end])
        del self._incoming[:end]
        self._line_since = now if self._incoming else None
        # Generic cell rate algorithm: a clock that runs ahead by one interval a request, and at most by the burst.
        interval = 1 / self._limits.requests_per_second
        self._next_turn = max(self._next_turn, now - self._limits.burst * interval) + interval
        return line

    def turn_in(self, now: float) -> float:
        """Seconds until the next request may be served; 0 when now."""
        return max(0.0, self._next_turn - now)

    def discard_input(self) -> None:
        self._incoming.clear()
        self._line_since = None

    def queue(self, line: bytes, now: float) -> bool:
        """False when the client has left too much unread. One answer alone may have any size."""
        if self._outgoing and len(self._outgoing) + len(line) > self._limits.outgoing_bytes:
            return False
        if not self._outgoing:
            self._unsent_since = now
        self._outgoing += line
        return True

    def send(self, now: float) -> None:
        """Send what the socket takes. Raises OSError when the client is gone."""
        try:
            while self._outgoing:
                sent = self.sock.send(self._outgoing)
                del self._outgoing[:sent]
                self._unsent_since = now
        except BlockingIOError:
            return
        self._unsent_since = None
        self.idle_since = now

    def is_stalled(self, now: float) -> bool:
        """A line half-sent, or an answer unread, for too long."""
        oldest = now - self._limits.stall_seconds
        half = self.has_half_line and self._line_since is not None and self._line_since < oldest
        return half or (self._unsent_since is not None and self._unsent_since < oldest)
