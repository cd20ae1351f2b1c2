"""Migration files are read, or named when something is wrong with them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import pytest

from bibd.errors import BibdError
from bibd.migrations.source import builtin, read


def write(directory: Path, *names: str) -> None:
    for name in names:
        (directory / name).write_text(f"-- {name}\n")


def test_read_in_order_with_checksums_and_optional_down(tmp_path: Path) -> None:
    write(tmp_path, "000002_b.up.sql", "000001_a.up.sql", "000001_a.down.sql", "README.md")
    first, second = read(tmp_path)
    assert (first.version, first.name, first.title) == (1, "a", "000001_a")
    assert (first.up, first.down) == ("-- 000001_a.up.sql\n", "-- 000001_a.down.sql\n")
    assert first.checksum == hashlib.sha256(b"-- 000001_a.up.sql\n").hexdigest()
    assert (second.version, second.down) == (2, None)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["000001_a.up.sql", "000003_c.up.sql"], "migration 2 is missing"),
        (["000002_b.up.sql"], "migration 1 is missing"),
        (["000000_z.up.sql", "000001_a.up.sql"], "missing"),
        (["000001_a.up.sql", "000001_b.up.sql"], "two migrations have the number 1"),
        (["000001_a.up.sql", "1_a.up.sql"], "two migrations have the number 1"),
        (["000001_a.up.sql", "000001_b.down.sql"], "two migrations have the number 1"),
        (["000001_a.down.sql"], r"no \.up\.sql beside it"),
        (["a.up.sql"], "not named like a migration"),
        (["000001_a.sql"], "not named like a migration"),
        (["000001_a b.up.sql"], "not named like a migration"),
        (["000001_a'; --.up.sql"], "not named like a migration"),
    ],
)
def test_what_is_wrong_with_the_files_is_named(tmp_path: Path, names: list[str], said: str) -> None:
    write(tmp_path, *names)
    with pytest.raises(BibdError, match=said) as refused:
        read(tmp_path)
    assert refused.value.hint


def test_a_missing_directory_and_a_file_of_another_encoding_are_named(tmp_path: Path) -> None:
    with pytest.raises(BibdError, match="No such file"):
        read(tmp_path / "missing")
    (tmp_path / "000001_a.up.sql").write_bytes(b"-- \xff")
    with pytest.raises(BibdError, match="is not UTF-8"):
        read(tmp_path)


@pytest.mark.parametrize("backend", ["postgres", "sqlite"])
def test_builtin_migrations_can_all_be_undone(backend: Literal["postgres", "sqlite"]) -> None:
    migrations = builtin(backend)
    assert [migration.title for migration in migrations] == ["000001_node"]
    assert all(migration.down for migration in migrations)


def test_no_directory_entry_ends_the_list(tmp_path: Path) -> None:
    assert read(tmp_path) == ()
