"""Who did what over the admin socket."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bibd.errors import BibdError
from bibd.logs.audit import AuditLog
from bibd.logs.redaction import Redactor

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def write(audit: AuditLog, **changed: Any) -> None:
    entry: dict[str, Any] = {
        "at": NOW,
        "peer_pid": 7,
        "peer_uid": 1000,
        "method": "shutdown",
        "params": {"force": True},
        "outcome": "ok",
        "error": None,
        "changes": True,
    }
    audit.write(**{**entry, **changed})


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


def test_an_entry_says_who_when_what_and_how_it_ended(path: Path) -> None:
    audit = AuditLog(path, Redactor(["key"]))
    write(audit)
    write(audit, outcome="failed", error="password=hunter2 wrong", params={"api_key": "hunter2", "id": 3})
    audit.close()
    assert entries(path) == [
        {
            "time": "2026-01-02T03:04:05.000Z",
            "peer_pid": 7,
            "peer_uid": 1000,
            "method": "shutdown",
            "params": {"force": True},
            "outcome": "ok",
            "error": None,
        },
        {
            "time": "2026-01-02T03:04:05.000Z",
            "peer_pid": 7,
            "peer_uid": 1000,
            "method": "shutdown",
            "params": {"api_key": "***", "id": 3},
            "outcome": "failed",
            "error": "password=*** wrong",
        },
    ]
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_changes_something_is_synced_and_what_only_reads_is_not(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = AuditLog(path, Redactor([]))
    synced: list[bool] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(stat.S_ISREG(os.fstat(descriptor).st_mode))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write(audit, changes=False)
    assert synced == []
    write(audit, changes=True)
    assert synced == [True]
    audit.close()


def test_entries_are_never_overwritten_or_mixed(path: Path) -> None:
    first, second = AuditLog(path, Redactor([])), AuditLog(path, Redactor([]))

    def write_many(audit: AuditLog) -> None:
        for _ in range(50):
            write(audit, params={"x": "y" * 5000}, changes=False)

    threads = [threading.Thread(target=write_many, args=(audit,)) for audit in (first, second, first)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first.close()
    second.close()
    assert len(entries(path)) == 150


def test_an_entry_that_cannot_be_written_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audit = AuditLog(path, Redactor([]))

    def full(_descriptor: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(BibdError, match="cannot write the audit log") as refused:
            write(audit)
    assert refused.value.hint
    write(audit)
    audit.close()
    assert len(entries(path)) == 1


def test_a_link_in_its_place_is_refused(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "victim")
    with pytest.raises(BibdError, match="cannot open the log file"):
        AuditLog(path, Redactor([]))
