from __future__ import annotations

from pathlib import Path

import pytest

from bibd.config.model import Backend, Mode
from bibd.config.modes import VERDICTS, verdict
from tests.config.support import load_text, refusal


@pytest.mark.parametrize(
    ("mode", "backend", "allowed", "note"),
    [
        ("full", "postgres", True, ""),
        ("full", "sqlite", False, "SQLite cannot be authoritative"),
        ("selective", "postgres", True, ""),
        ("selective", "sqlite", True, "limited: a cache only, no data is distributed"),
        ("proxy", "postgres", True, "wasteful: a proxy needs no PostgreSQL, sqlite would do"),
        ("proxy", "sqlite", True, ""),
    ],
)
def test_the_table_of_modes_and_backends(
    tmp_path: Path, mode: Mode, backend: Backend, allowed: bool, note: str
) -> None:
    assert len(VERDICTS) == 6
    assert (verdict(mode, backend).allowed, verdict(mode, backend).note) == (allowed, note)
    text = f"mode: {mode}\ndatabase:\n  backend: {backend}\n"
    if allowed:
        warnings = load_text(tmp_path, text).warnings
        assert len(warnings) == bool(note)
        assert all(note in warning and "config.yaml:3" in warning for warning in warnings)
    else:
        error = refusal(tmp_path, text)
        assert error.message == f"config.yaml:3: mode full with database.backend sqlite cannot work: {note}"
        assert error.hint == "set database.backend to postgres, or mode to selective or proxy"


def test_an_unknown_backend_is_named_with_what_there_is(tmp_path: Path) -> None:
    error = refusal(tmp_path, "database:\n  backend: mysql\n")
    assert error.message == 'config.yaml:2: database.backend: must be postgres or sqlite, not "mysql"'
    assert error.hint == "set database.backend to postgres, or, with mode selective or proxy, to sqlite"


def test_a_wrong_mode_is_one_problem_not_also_a_mismatch(tmp_path: Path) -> None:
    error = refusal(tmp_path, "mode: fulll\ndatabase: {backend: sqlite}\n")
    assert error.message == 'config.yaml:1: mode: must be full, selective or proxy, not "fulll"'
