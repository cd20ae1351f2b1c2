"""A new pair of files continues the numbers of its directory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from bibd.errors import BibdError, IntegrityError, UsageError
from bibd.migrations.new import create, write_sums
from bibd.migrations.source import read
from bibd.migrations.sums import FILE_NAME, render, verify

NOW = datetime(2025, 3, 9, 8, 5, 7, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    ("newest", "stem"),
    [
        (None, "000001_add_users"),
        ("000007_a", "000008_add_users"),
        ("000999_a", "001000_add_users"),
        ("999_a", "1000_add_users"),
        ("0003_a", "0004_add_users"),
        ("7_a", "8_add_users"),
        ("20240101120000_a", "20250309080507_add_users"),
        ("1494538273_a", "1741507507_add_users"),
        ("1700000000000000000_a", "1741507507123456000_add_users"),
        ("20250309080507_this_second", "20250309080508_add_users"),
        ("20990101000000_from_the_future", "20990101000001_add_users"),
    ],
)
def test_the_number_continues_the_directory(tmp_path: Path, newest: str | None, stem: str) -> None:
    if newest is not None:
        (tmp_path / f"{newest}.up.sql").write_text("SELECT 1;")
    assert create(tmp_path, "add users", NOW) == (tmp_path / f"{stem}.up.sql", tmp_path / f"{stem}.down.sql")
    assert read(tmp_path)[-1].title == stem
    verify(tmp_path, read(tmp_path))


def test_a_timestamp_is_in_utc_whatever_the_zone(tmp_path: Path) -> None:
    (tmp_path / "20240101120000_a.up.sql").touch()
    up, _ = create(tmp_path, "b", NOW.astimezone(timezone(timedelta(hours=9))))
    assert up.name == "20250309080507_b.up.sql"


def test_the_directory_is_made_and_the_files_are_readable_by_all(tmp_path: Path) -> None:
    directory = tmp_path / "db" / "migrations"
    for path in (*create(directory, "a", NOW), directory / FILE_NAME):
        assert path.stat().st_mode & 0o777 == 0o644


def test_the_newest_is_a_draft_until_the_next_one(tmp_path: Path) -> None:
    up, _ = create(tmp_path, "a", NOW)
    up.write_text("CREATE TABLE t (id int);")
    verify(tmp_path, read(tmp_path))
    create(tmp_path, "b", NOW)
    verify(tmp_path, read(tmp_path))
    assert (tmp_path / FILE_NAME).read_text() == render(read(tmp_path), drafts=["000002_b"])
    up.write_text("CREATE TABLE t (id bigint);")
    with pytest.raises(IntegrityError, match=r"000001_a\.up\.sql is not what bibd\.sum has"):
        create(tmp_path, "c", NOW)
    assert [m.title for m in read(tmp_path)] == ["000001_a", "000002_b"]
    assert write_sums(tmp_path) == tmp_path / FILE_NAME
    assert (tmp_path / FILE_NAME).read_text() == render(read(tmp_path))


@pytest.mark.parametrize("name", ["", " ", "a/b", "../a", "a'b", "a\0b", "a;b"])
def test_a_name_that_no_file_can_have_is_a_usage_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="is no name for a migration"):
        create(tmp_path, name, NOW)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_with_a_gap_gets_no_new_migration(tmp_path: Path) -> None:
    for stem in ("000001_a", "000003_c"):
        (tmp_path / f"{stem}.up.sql").touch()
    with pytest.raises(BibdError, match="migration 2 is missing"):
        create(tmp_path, "d", NOW)
    with pytest.raises(BibdError, match="migration 2 is missing"):
        write_sums(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_where_nothing_can_be_written_the_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BibdError, match=r"cannot write a migration in .*file"):
        create(tmp_path / "file", "a", NOW)
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(BibdError, match=r"cannot write .*bibd\.sum"):
        write_sums(tmp_path)
