"""The Responder of one request: the first answer wins, from whatever thread it comes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from bibd.admin import protocol
from bibd.admin.protocol import ProtocolError, Request
from bibd.errors import BibdError

if TYPE_CHECKING:
    from bibd.admin.connection import Connection


class PendingCall:
    """``deliver(call, line, final)`` and ``record(event, detail)`` are called in the answering thread."""

    __slots__ = ("_deliver", "_lock", "_open", "_record", "_request", "connection")

    def __init__(
        self,
        connection: Connection,
        request: Request,
        deliver: Callable[[PendingCall, bytes, bool], None],
        record: Callable[[str, str], None],
    ) -> None:
        self.connection = connection
        self._request = request
        self._deliver = deliver
        self._record = record
        self._lock = threading.Lock()
        self._open = True

    def result(self, value: object) -> None:
        if not self._claim():
            return
        try:
            line = protocol.result_line(self._request.id, value)
        except (TypeError, ValueError, RecursionError):
            log_crash(f"the result of {self._request.method.name}")
            self._answer_crash()
        else:
            self._record("done", "")
            self._deliver(self, line, True)

    def error(self, error: BibdError) -> None:
        if self._claim():
            self._record("failed", error.message)
            self._deliver(self, protocol.error_line(self._request.id, error), True)

    def crash(self) -> None:
        """The handler raised what it should not have."""
        if self._claim():
            self._answer_crash()

    def progress(self, value: Mapping[str, object]) -> None:
        if self._open:
            self._deliver(self, protocol.progress_line(self._request.id, value), False)

    def _claim(self) -> bool:
        with self._lock:
            won, self._open = self._open, False
            return won

    def _answer_crash(self) -> None:
        text = f"{self._request.method.name} failed inside the daemon"
        error = ProtocolError(protocol.INTERNAL_ERROR, text, "see the daemon's log")
        self._record("failed", text)
        self._deliver(self, protocol.error_line(self._request.id, error), True)


def log_crash(what: str) -> None:
    """A defect of ours, logged where the decision to go on is taken; never part of an answer: it may quote a secret."""
    from loguru import logger

    logger.exception("{} crashed", what)
