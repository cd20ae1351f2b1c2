"""The admin socket's server: its thread, from start to close."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from bibd.admin import protocol
from bibd.admin.call import AuditEntry, Call, Limits, Peer, Responder
from bibd.admin.loop import Loop
from bibd.admin.socket_file import bind
from bibd.errors import BibdError

__all__ = ["AdminServer", "AuditEntry", "Call", "Limits", "Peer", "Responder"]

DEFAULT_LIMITS = Limits()


class AdminServer:
    """Serves ``bibd.admin.methods`` on a Unix socket.

    ``handle`` runs on the server's thread and must not block: it answers at once or keeps the Responder. ``audit`` is
    called in the thread that answers.
    """

    def __init__(
        self,
        path: Path,
        handle: Callable[[Call, Responder], None],
        *,
        allowed_uids: frozenset[int],
        limits: Limits = DEFAULT_LIMITS,
        audit: Callable[[AuditEntry], None],
    ) -> None:
        self._path = path
        self._handle = handle
        self._allowed_uids = allowed_uids
        self._limits = limits
        self._audit = audit
        self._loop: Loop | None = None
        self._thread: threading.Thread | None = None

    @property
    def alive(self) -> bool:
        """False before start, after close, and if the thread should ever have crashed."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Bind, listen, serve on a thread of its own; once. Raises BibdError, then nothing is left behind."""
        protocol.prepare()
        bound = bind(self._path)
        loop: Loop | None = None
        try:
            loop = Loop(bound, self._handle, allowed_uids=self._allowed_uids, limits=self._limits, audit=self._audit)
            thread = threading.Thread(target=loop.run, name="admin-socket", daemon=True)
            thread.start()
        except (OSError, RuntimeError) as error:  # RuntimeError: no thread to be had
            if loop is not None:
                loop.release()
            bound.remove()
            raise BibdError(f"cannot serve {self._path}: {error}", "raise the limits of ulimit -n and -u") from error
        self._loop, self._thread = loop, thread

    def close(self, timeout: float) -> None:
        """Accept nobody more, answer what is pending, unlink the socket; returns within ``timeout`` + 1 seconds.

        Calls that nobody has answered yet get "the daemon is stopping"; who reads too slowly is cut off.
        """
        if self._loop is None or self._thread is None:
            return
        self._loop.stop(time.monotonic() + timeout)
        if self._thread is not threading.current_thread():
            self._thread.join(timeout + 1)
