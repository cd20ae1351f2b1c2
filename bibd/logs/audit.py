"""``audit.log``: who did what over the admin socket."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal

from bibd.durable import sync_directory
from bibd.errors import BibdError
from bibd.logs.lines import encode, timestamp
from bibd.logs.redaction import Redactor
from bibd.logs.sinks import LineFile

Outcome = Literal["requested", "ok", "refused", "failed"]


class AuditLog:
    """Append-only JSON lines, 0600. Safe to call from any thread: a line is one write(2) on O_APPEND."""

    def __init__(self, path: Path, redactor: Redactor) -> None:
        """Raises BibdError when the file cannot be opened."""
        self._redactor = redactor
        self._file = LineFile(path)
        sync_directory(path.parent)

    def write(
        self,
        *,
        at: datetime,
        peer_pid: int,
        peer_uid: int,
        method: str,
        params: Mapping[str, object],
        outcome: Outcome,
        error: str | None,
        changes: bool,
    ) -> None:
        """Append one entry; one of a method that ``changes`` something is on disk when this returns.

        Raises BibdError when it cannot be written: whoever changes something without a trace must refuse instead.
        """
        entry: dict[str, object] = {
            "time": timestamp(at),
            "peer_pid": peer_pid,
            "peer_uid": peer_uid,
            "method": self._redactor.text(method),
            "params": self._redactor.value(params),
            "outcome": outcome,
            "error": None if error is None else self._redactor.text(error),
        }
        try:
            self._file.write(encode(entry), durable=changes)
        except OSError as failure:
            raise BibdError(
                f"cannot write the audit log {self._file.path}: {failure.strerror}",
                "free some space on its file system; until then nothing is changed without a trace",
            ) from failure

    def close(self) -> None:
        self._file.close()
