"""Migration files are read, or named when something is wrong with them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibd.errors import BibdError
from bibd.migrations.source import FIRST_TIMESTAMP, builtin, read


def write(directory: Path, *names: str) -> None:
    for name in names:
        (directory / name).write_text(f"-- {name}\n")


def test_read_in_order_with_checksums_and_optional_down(tmp_path: Path) -> None:
    write(tmp_path, "000002_b.up.sql", "000001_a.up.sql", "000001_a.down.sql", "README.md", "bibd.sum")
    first, second = read(tmp_path)
    assert (first.version, first.name, first.title) == (1, "a", "000001_a")
    assert (first.up, first.down) == ("-- 000001_a.up.sql\n", "-- 000001_a.down.sql\n")
    assert first.checksum == hashlib.sha256(b"-- 000001_a.up.sql\n").hexdigest()
    assert first.down_checksum == hashlib.sha256(b"-- 000001_a.down.sql\n").hexdigest()
    assert (first.up_path, first.down_path) == (tmp_path / "000001_a.up.sql", tmp_path / "000001_a.down.sql")
    assert (second.version, second.down, second.down_checksum, second.down_path) == (2, None, None, None)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["000001_a.up.sql", "000003_c.up.sql"], "migration 2 is missing"),
        (["000001_a.up.sql", "000005_c.up.sql"], "migrations 2 to 4 are missing"),
        (["000000_z.up.sql", "000001_a.up.sql"], "a version is a number from 1"),
        (["9999999999999999999_z.up.sql"], "a version is a number from 1"),
        (["000001_a.up.sql", "000001_b.up.sql"], "two migrations have the number 1"),
        (["000001_a.up.sql", "1_a.up.sql"], "two migrations have the number 1"),
        (["000001_a.up.sql", "000001_b.down.sql"], "two migrations have the number 1"),
        (["000001_a.up.sql", "1_a.down.sql"], "two migrations have the number 1"),
        (["000001_a.down.sql"], r"no \.up\.sql beside it"),
        (["a.up.sql"], "not named like a migration"),
        (["000001_a.sql"], "not named like a migration"),
        (["000001_a.UP.SQL"], "not named like a migration"),
        (["000001_.up.sql"], "not named like a migration"),
        (["000001_a b.up.sql"], "not named like a migration"),
        (["000001_a'; --.up.sql"], "not named like a migration"),
    ],
)
def test_what_is_wrong_with_the_files_is_named(tmp_path: Path, names: list[str], said: str) -> None:
    write(tmp_path, *names)
    with pytest.raises(BibdError, match=said) as refused:
        read(tmp_path)
    assert refused.value.hint


@pytest.mark.parametrize(
    "names",
    [
        ["000041_squashed.up.sql", "000042_a.up.sql"],
        ["20240101120000_a.up.sql", "20250101120000_b.up.sql"],
        ["1494538273_a.up.sql", "1494538317_b.up.sql"],
        ["1700000000000000000_nanoseconds.up.sql"],
        ["000001_a.up.sql", "000002_b.up.sql", "20250101120000_c.up.sql"],
        ["1_a.up.sql", "2_b.up.sql", "10000000_c.up.sql"],
        ["9_a.up.sql", "10_b.up.sql", "11_c.up.sql"],
        ["000001_v1.2-rc+1.up.sql", "000002_größe.up.sql"],
    ],
)
def test_the_numbers_and_names_that_golang_migrate_makes_are_read(tmp_path: Path, names: list[str]) -> None:
    write(tmp_path, *reversed(names))
    assert [m.up_path.name for m in read(tmp_path)] == names


@given(versions=st.sets(st.integers(1, 30) | st.integers(FIRST_TIMESTAMP, 2**63 - 1), max_size=12))
def test_a_gap_is_refused_between_sequence_numbers_alone(
    tmp_path_factory: pytest.TempPathFactory, versions: set[int]
) -> None:
    directory = tmp_path_factory.mktemp("migrations")
    write(directory, *(f"{version}_m.up.sql" for version in versions))
    sequence = sorted(version for version in versions if version < FIRST_TIMESTAMP)
    if sequence and len(sequence) != sequence[-1] - sequence[0] + 1:
        with pytest.raises(BibdError, match="missing"):
            read(directory)
    else:
        assert [m.version for m in read(directory)] == sorted(versions)


def test_a_missing_directory_and_files_that_are_not_text_are_named(tmp_path: Path) -> None:
    with pytest.raises(BibdError, match="No such file"):
        read(tmp_path / "missing")
    (tmp_path / "000001_a.up.sql").write_bytes(b"-- \xff")
    with pytest.raises(BibdError, match="is not UTF-8"):
        read(tmp_path)
    (tmp_path / "000001_a.up.sql").write_bytes(b"SELECT 1;\0DROP TABLE t;")
    with pytest.raises(BibdError, match=r"is not a text file \(byte 9 is zero\)"):
        read(tmp_path)
    (tmp_path / "000001_a.up.sql").unlink()
    (tmp_path / "000001_a.up.sql").mkdir()
    with pytest.raises(BibdError, match=r"cannot read .*000001_a\.up\.sql: Is a directory"):
        read(tmp_path)


def test_a_byte_order_mark_is_left_out_and_line_ends_are_kept(tmp_path: Path) -> None:
    (tmp_path / "000001_a.up.sql").write_bytes(b"\xef\xbb\xbfSELECT 1;\r\n")
    (migration,) = read(tmp_path)
    assert migration.up == "SELECT 1;\r\n"
    assert migration.checksum == hashlib.sha256(b"\xef\xbb\xbfSELECT 1;\r\n").hexdigest()


@pytest.mark.parametrize("backend", ["postgres", "sqlite"])
def test_builtin_migrations_can_all_be_undone(backend: Literal["postgres", "sqlite"]) -> None:
    migrations = builtin(backend)
    assert migrations
    assert all(migration.down for migration in migrations)


def test_an_empty_directory_has_no_migrations(tmp_path: Path) -> None:
    assert read(tmp_path) == ()
