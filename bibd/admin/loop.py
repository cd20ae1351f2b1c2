"""One thread, one selector, many clients that cannot hurt each other.

Every connection belongs to the loop's thread alone. Other threads hand their answers over through a queue and an
eventfd. In one turn each connection is read at most once and has at most one request served, so a client that floods
gets its share and no more.
"""

from __future__ import annotations

import os
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from bibd.admin import protocol
from bibd.admin.call import AuditEntry, Call, Limits, Peer, Responder
from bibd.admin.connection import Connection
from bibd.admin.pending import PendingCall, log_crash
from bibd.admin.protocol import ProtocolError, Request
from bibd.admin.socket_file import BoundSocket
from bibd.errors import BibdError

# Out of file descriptors the listener stays readable: without a pause the loop would spin.
ACCEPT_PAUSE_SECONDS = 0.5
ACCEPTS_A_TURN = 16
# A connection that has been silent for this long gives its place to a new one when all are taken.
IDLE_SECONDS = 1.0
_UCRED = struct.Struct("iII")  # struct ucred, unix(7)
_FRAMING_HINT = "send one JSON-RPC request a line, each ended by a newline"


class Loop:
    """Raises OSError when the kernel gives no more file descriptors."""

    def __init__(
        self,
        bound: BoundSocket,
        handle: Callable[[Call, Responder], None],
        *,
        allowed_uids: frozenset[int],
        limits: Limits,
        audit: Callable[[AuditEntry], None],
    ) -> None:
        self._bound = bound
        self._handle = handle
        self._allowed_uids = allowed_uids
        self._limits = limits
        self._audit = audit
        self._connections: set[Connection] = set()
        self._ready: dict[Connection, None] = {}  # those with a complete line, in the order of their turns
        self._answers: deque[tuple[PendingCall, bytes, bool]] = deque()
        self._thread = 0
        self._stop_at: float | None = None
        self._accept_at: float | None = None
        self._sweep_seconds = min(1.0, limits.stall_seconds / 4)
        self._sweep_at = 0.0
        self._wake_lock = threading.Lock()
        self._wake_fd: int | None = None
        self._woken = False
        self._selector = selectors.DefaultSelector()
        try:
            self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._selector.register(self._wake_fd, selectors.EVENT_READ)
            self._selector.register(bound.listener, selectors.EVENT_READ)
        except OSError:
            self.release()
            raise

    # -- from any thread

    def stop(self, deadline: float) -> None:
        """``deadline`` on the monotonic clock; the first call counts."""
        if self._stop_at is None:
            self._stop_at = deadline
        self._wake()

    def _answer(self, call: PendingCall, line: bytes, final: bool) -> None:
        if threading.get_ident() == self._thread:
            self._deliver(call, line, final)
        else:
            self._answers.append((call, line, final))
            self._wake()

    def _wake(self) -> None:
        with self._wake_lock:  # once released, the number may be another file's
            if self._wake_fd is not None and not self._woken:
                self._woken = True
                os.eventfd_write(self._wake_fd, 1)

    def _record(self, peer: Peer, method: str, params: object, event: str, detail: str) -> None:
        try:
            self._audit(AuditEntry(peer, method, event, detail, params))
        except Exception:  # a full disk must not make the daemon unstoppable
            log_crash(f"audit of {method}")

    # -- the thread

    def run(self) -> None:
        self._thread = threading.get_ident()
        try:
            while self._stop_at is None:
                self._turn(self._timeout(time.monotonic()))
            self._drain(self._stop_at)
        except Exception:  # the thread's last word
            log_crash("the admin socket")
        finally:
            self._thread = 0  # the kernel gives thread numbers out again
            self.release()

    def _turn(self, timeout: float | None) -> None:
        events = self._selector.select(timeout)
        now = time.monotonic()
        for key, mask in events:
            if isinstance(key.data, Connection):
                self._guard(key.data, partial(self._on_ready, key.data, mask, now))
            elif key.fd == self._wake_fd:
                os.eventfd_read(key.fd)
                self._woken = False  # before the answers are taken: who queues one now wakes us again
            else:
                self._accept(now)
        while self._answers:
            self._deliver(*self._answers.popleft())
        for connection in [c for c in self._ready if c.turn_in(now) == 0]:
            if connection in self._ready:  # still: another's turn may have closed it
                del self._ready[connection]
                self._guard(connection, partial(self._serve, connection, now))
        for connection in list(self._ready):  # not before: most lines are served in the turn that brings them
            self._guard(connection, partial(self._watch, connection))
        if self._accept_at is not None and now >= self._accept_at:
            self._accept_at = None
            self._selector.register(self._bound.listener, selectors.EVENT_READ)
        if now >= self._sweep_at:
            self._sweep_at = now + self._sweep_seconds
            for connection in [c for c in self._connections if c.is_stalled(now)]:
                self._drop_stalled(connection, now)

    def _timeout(self, now: float) -> float | None:
        waits = [connection.turn_in(now) for connection in self._ready]
        if self._connections:
            waits.append(self._sweep_seconds)
        if self._accept_at is not None:
            waits.append(max(0.0, self._accept_at - now))
        return min(waits, default=None)

    def _guard(self, connection: Connection, action: Callable[[], None]) -> None:
        """A client whose socket fails, or who meets a defect of ours, loses its own connection and no more."""
        try:
            if not connection.closed:
                action()
        except OSError:
            self._close(connection)
        except Exception:
            log_crash("a connection of the admin socket")
            self._close(connection)

    # -- who comes in

    def _accept(self, now: float) -> None:
        for _ in range(ACCEPTS_A_TURN):
            try:
                sock, _ = self._bound.listener.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError:  # EMFILE, ENFILE, ENOBUFS, ENOMEM
                self._selector.unregister(self._bound.listener)
                self._accept_at = now + ACCEPT_PAUSE_SECONDS
                return
            self._admit(sock, now)

    def _admit(self, sock: socket.socket, now: float) -> None:
        sock.setblocking(False)
        peer = Peer(*_UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)))
        refusal: ProtocolError | None = None
        if peer.uid not in self._allowed_uids:
            self._record(peer, "", None, "refused", "a connection from another account")
            text = f"uid {peer.uid} may not use the admin socket"
            refusal = ProtocolError(protocol.FORBIDDEN, text, "run as the daemon's account, or as root")
        elif len(self._connections) >= self._limits.connections and not self._evict(now):
            text = f"all {self._limits.connections} connections are in use"
            refusal = ProtocolError(protocol.BUSY, text, "try again, or close one")
        if refusal is not None:
            with sock, suppress(OSError):
                sock.send(protocol.error_line(None, refusal))
            return
        connection = Connection(sock, peer, self._limits, now)
        self._connections.add(connection)
        self._guard(connection, partial(self._watch, connection))

    def _evict(self, now: float) -> bool:
        idle = [c for c in self._connections if c.is_idle and now - c.idle_since >= IDLE_SECONDS]
        if idle:
            self._close(min(idle, key=lambda c: c.idle_since))
        return bool(idle)

    # -- what they ask

    def _on_ready(self, connection: Connection, mask: int, now: float) -> None:
        if mask & selectors.EVENT_WRITE:
            connection.send(now)
        if mask & selectors.EVENT_READ and not connection.finishing:
            with suppress(BlockingIOError):
                connection.finishing = not connection.receive(now)
        self._consider_input(connection, now)

    def _consider_input(self, connection: Connection, now: float) -> None:
        if connection.is_oversized:
            text = f"the line is longer than {self._limits.line_bytes} bytes"
            self._refuse_input(connection, protocol.INVALID_REQUEST, text, now)
        elif connection.has_line:
            self._ready[connection] = None
            return
        elif connection.finishing and connection.has_half_line:
            self._refuse_input(connection, protocol.PARSE_ERROR, "the last line has no newline", now)
        self._settle(connection)

    def _serve(self, connection: Connection, now: float) -> None:
        try:
            request = protocol.parse(connection.take_line(now))
            self._check_pending(connection, request)
        except ProtocolError as error:
            self._queue(connection, protocol.error_line(error.request_id, error), now)
        else:
            self._call(connection, request)
        if not connection.closed:
            self._consider_input(connection, now)

    def _check_pending(self, connection: Connection, request: Request) -> None:
        if len(connection.pending) >= self._limits.pending:
            text = f"{self._limits.pending} requests of this connection are pending"
            raise ProtocolError(protocol.BUSY, text, "wait for their answers", request.id)

    def _call(self, connection: Connection, request: Request) -> None:
        name = request.method.name
        record = partial(self._record, connection.peer, name, request.params) if request.method.audited else _no_record
        call = PendingCall(connection, request, self._answer, record)
        connection.pending.add(call)
        record("requested", "")
        try:
            self._handle(Call(name, request.params, connection.peer), call)
        except BibdError as error:
            call.error(error)
        except Exception:
            log_crash(f"the method {name}")
            call.crash()

    def _refuse_input(self, connection: Connection, code: int, message: str, now: float) -> None:
        """Framing is lost: answer, and read nothing more."""
        connection.discard_input()
        connection.finishing = True
        self._queue(connection, protocol.error_line(None, ProtocolError(code, message, _FRAMING_HINT)), now)

    # -- what they get

    def _deliver(self, call: PendingCall, line: bytes, final: bool) -> None:
        connection = call.connection
        if connection.closed or call not in connection.pending:
            return
        if final:
            connection.pending.discard(call)
        elif connection.has_unsent:
            return  # progress is for those who read it
        self._guard(connection, partial(self._send, connection, line))

    def _send(self, connection: Connection, line: bytes) -> None:
        self._queue(connection, line, time.monotonic())
        self._settle(connection)

    def _queue(self, connection: Connection, line: bytes, now: float) -> None:
        if connection.closed:
            return
        if connection.queue(line, now):
            connection.send(now)
        else:
            self._close(connection)

    def _drop_stalled(self, connection: Connection, now: float) -> None:
        if connection.has_half_line and not connection.has_unsent:
            text = f"half a line for {self._limits.stall_seconds:g} seconds"
            self._guard(connection, partial(self._refuse_input, connection, protocol.PARSE_ERROR, text, now))
        self._close(connection)

    def _settle(self, connection: Connection) -> None:
        """Watch what matters now; close a connection that has ended and has nothing more to get."""
        if connection.closed:
            return
        if connection.finishing and not (connection.pending or connection.has_unsent or connection.has_line):
            self._close(connection)
        else:
            self._watch(connection)

    def _watch(self, connection: Connection) -> None:
        mask = selectors.EVENT_WRITE if connection.has_unsent else 0
        if not connection.finishing and not connection.has_line:
            mask |= selectors.EVENT_READ
        if mask == connection.mask:
            return
        # epoll(7) reports a hang-up even to those who watch nothing: they must not be registered.
        if connection.mask == 0:
            self._selector.register(connection.sock, mask, connection)
        elif mask == 0:
            self._selector.unregister(connection.sock)
        else:
            self._selector.modify(connection.sock, mask, connection)
        connection.mask = mask

    def _close(self, connection: Connection) -> None:
        if connection.closed:
            return
        connection.closed = True
        if connection.mask:
            self._selector.unregister(connection.sock)
        self._connections.discard(connection)
        self._ready.pop(connection, None)
        connection.pending.clear()
        connection.sock.close()

    # -- the end

    def _drain(self, deadline: float) -> None:
        if self._accept_at is None:
            self._selector.unregister(self._bound.listener)
        self._accept_at = None
        self._bound.remove()
        self._bound.listener.close()
        stopping = BibdError("the daemon is stopping", "start it again with: bibd", exit_code=3)
        for connection in list(self._connections):
            connection.finishing = True
            connection.discard_input()
            self._ready.pop(connection, None)
            for call in list(connection.pending):
                call.error(stopping)
            self._guard(connection, partial(self._settle, connection))
        # A thread that has just won its answer may still be about to queue it.
        while self._connections and (left := deadline - time.monotonic()) > 0:
            self._turn(min(left, self._sweep_seconds))

    def release(self) -> None:
        """Give back every file descriptor and the socket's name; only without a running thread, or as its last act."""
        self._bound.remove()
        self._bound.listener.close()
        for connection in list(self._connections):
            self._close(connection)
        with self._wake_lock:
            if self._wake_fd is not None:
                os.close(self._wake_fd)
                self._wake_fd = None
        self._selector.close()
        self._answers.clear()


def _no_record(_event: str, _detail: str) -> None:
    """Reading is not audited."""
