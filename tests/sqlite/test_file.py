"""A real SQLite file: private, durable, checked after an unclean stop."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bibd.errors import BibdError, IntegrityError
from bibd.sqlite.file import SqliteFile
from bibd.sqlite.versions import Version

FIXED, AFFECTED = (3, 51, 3), (3, 51, 2)
BOTH = pytest.mark.parametrize(("library", "mode"), [(FIXED, "wal"), (AFFECTED, "truncate")])


def fill(file: SqliteFile, rows: int = 100) -> None:
    with file.connection(1) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS t (x TEXT)")
        connection.execute("CREATE INDEX IF NOT EXISTS i ON t (x)")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO t VALUES (?)", [(f"{row:0500}",) for row in range(rows)])
        connection.execute("COMMIT")


def count(file: SqliteFile) -> int:
    with file.connection(1) as connection:
        (rows,) = connection.execute("SELECT count(*) FROM t").fetchone()
    return int(rows)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "cache.db"


@BOTH
def test_made_private_and_reopened_clean(path: Path, library: Version, mode: str) -> None:
    file = SqliteFile.open(path, 10, library=library)
    assert (file.journal_mode, file.unclean) == (mode, False)
    fill(file)
    file.ping()
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert {entry.stat().st_mode & 0o777 for entry in path.parent.iterdir()} == {0o600}
    assert file.close()
    assert file.close()
    # Nothing beside the file is needed to read it: it can be copied.
    assert [entry.name for entry in path.parent.iterdir()] == ["cache.db"]
    again = SqliteFile.open(path, 10, library=library)
    assert again.unclean is False
    assert count(again) == 100
    assert again.close()


def test_an_affected_library_warns_and_names_the_source(path: Path) -> None:
    affected = SqliteFile.open(path, 1, library=AFFECTED)
    assert "3.51.2" in affected.warnings[0]
    assert "https://sqlite.org/wal.html#walresetbug" in affected.warnings[0]
    affected.close()
    fixed = SqliteFile.open(path, 1, library=FIXED)
    assert fixed.warnings == ()
    fixed.close()


def test_commits_survive_a_power_cut_and_foreign_keys_are_on_in_every_connection(path: Path) -> None:
    file = SqliteFile.open(path, 2)
    with file.connection(1) as first, file.connection(1) as second:
        for connection in (first, second):
            settings = [
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("synchronous", "foreign_keys", "trusted_schema", "busy_timeout", "journal_mode")
            ]
            assert settings == [2, 1, 0, 5000, file.journal_mode]
    file.close()


# Writes for ever, one row a transaction, and tells each acknowledged one.
WRITER = """
import sys
from pathlib import Path
from bibd.sqlite.file import SqliteFile
file = SqliteFile.open(Path(sys.argv[1]), 2, library=eval(sys.argv[2]))
with file.connection(1) as connection:
    connection.execute("CREATE TABLE IF NOT EXISTS t (x TEXT)")
    number = 0
    while True:
        connection.execute("INSERT INTO t VALUES (?)", ("x" * 5000,))
        number += 1
        print(number, flush=True)
"""


@BOTH
def test_kill_9_of_a_writer_loses_no_acknowledged_row_and_the_next_start_checks(
    path: Path, library: Version, mode: str
) -> None:
    command = [sys.executable, "-c", WRITER, str(path), repr(library)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(50):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        acknowledged = 50 + len(writer.stdout.read().splitlines())
    file = SqliteFile.open(path, 10, library=library)
    assert (file.unclean, file.journal_mode) == (True, mode)
    assert acknowledged <= count(file) <= acknowledged + 1
    assert file.close()
    clean = SqliteFile.open(path, 10, library=library)
    assert clean.unclean is False
    clean.close()


def test_a_wal_left_by_somebody_else_counts_as_unclean(path: Path) -> None:
    SqliteFile.open(path, 1).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA journal_mode=WAL")
    other.execute("CREATE TABLE t (x)")
    file = SqliteFile.open(path, 1, library=FIXED)
    assert file.unclean is True
    other.close()
    file.close()


def test_damage_is_found_after_an_unclean_stop_and_nothing_is_changed(path: Path) -> None:
    file = SqliteFile.open(path, 1)
    fill(file, 1000)
    file.close()
    damage(path)
    path.with_name("cache.db-open").touch()  # as kill -9 leaves it
    before = path.read_bytes()
    for _ in range(2):  # and found again: the mark stays until the file is sound
        with pytest.raises(IntegrityError, match="damaged") as found:
            SqliteFile.open(path, 1)
        assert found.value.exit_code == 5
        assert "backup" in found.value.hint
    assert path.read_bytes() == before


def damage(path: Path) -> None:
    """Overwrite a page in the middle."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 // 4096 * 4096)
        file.write(b"\xff" * 4096)


@pytest.mark.parametrize("content", [b"This is a text, not a database. " * 100, b"\x00" * 8192])
def test_a_file_that_is_no_database_is_named_and_left_alone(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"cache\.db is damaged or not an SQLite database"):
        SqliteFile.open(path, 1)
    assert path.read_bytes() == content
    assert not path.with_name("cache.db-wal").exists()


def test_a_file_that_was_removed_or_replaced_fails_the_ping(path: Path) -> None:
    file = SqliteFile.open(path, 1)
    path.rename(path.with_name("moved"))
    with pytest.raises(BibdError, match="No such file"):
        file.ping()
    path.write_bytes(path.with_name("moved").read_bytes())
    with pytest.raises(BibdError, match="replaced by another file"):
        file.ping()
    path.unlink()
    path.with_name("moved").rename(path)
    file.ping()
    file.close()


def test_connections_are_limited_reused_and_cleaned(path: Path) -> None:
    file = SqliteFile.open(path, 2)
    with (
        file.connection(1) as first,
        file.connection(1),
        pytest.raises(BibdError, match="all 2 connections") as refused,
        file.connection(0.01),
    ):
        pass
    assert "max_open_conns" in refused.value.hint
    with file.connection(1) as left_open:
        left_open.execute("BEGIN IMMEDIATE")
        left_open.execute("CREATE TABLE half (x)")
    with file.connection(1) as connection:
        assert not connection.in_transaction
        assert connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
    assert left_open in (first, connection)
    file.close()


def test_many_threads_write_at_once_without_a_lost_row(path: Path) -> None:
    file = SqliteFile.open(path, 4)
    with file.connection(1) as connection:
        connection.execute("CREATE TABLE t (x)")
    errors: list[BaseException] = []

    def write() -> None:
        try:
            for _ in range(10):
                with file.connection(30) as connection:
                    connection.execute("BEGIN IMMEDIATE")
                    connection.execute("INSERT INTO t VALUES (1)")
                    connection.execute("COMMIT")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert count(file) == 80
    file.close()


def test_close_waits_for_who_still_works_and_refuses_newcomers(path: Path) -> None:
    file = SqliteFile.open(path, 2)
    fill(file)
    working, closing = threading.Event(), threading.Event()

    def work() -> None:
        with file.connection(1) as connection:
            working.set()
            closing.wait(10)
            connection.execute("INSERT INTO t VALUES ('late')")

    worker = threading.Thread(target=work)
    worker.start()
    working.wait(10)
    threading.Timer(0.05, closing.set).start()
    assert file.close(10) is True
    worker.join()
    with pytest.raises(BibdError, match="is closed"), file.connection(1):
        pass
    again = SqliteFile.open(path, 1)
    assert count(again) == 101
    again.close()


def test_close_does_not_wait_for_ever_and_the_next_start_checks(path: Path) -> None:
    file = SqliteFile.open(path, 2)
    with file.connection(1):
        assert file.close(0.01) is False
    again = SqliteFile.open(path, 1)
    assert again.unclean is True
    again.close()


def test_leaving_wal_with_an_affected_library_needs_the_file_alone(path: Path) -> None:
    SqliteFile.open(path, 1, library=FIXED).close()
    other = sqlite3.connect(path)
    other.execute("SELECT * FROM sqlite_schema").fetchall()
    other.execute("BEGIN")
    other.execute("SELECT * FROM sqlite_schema").fetchall()
    with pytest.raises(BibdError) as refused:
        SqliteFile.open(path, 1, library=AFFECTED)
    assert "close" in refused.value.hint
    other.close()
    file = SqliteFile.open(path, 1, library=AFFECTED)
    assert file.journal_mode == "truncate"
    file.close()


def test_a_directory_in_its_place_and_a_parent_that_is_a_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "cache.db"):
        with pytest.raises(BibdError, match=r"is not a regular file|Not a directory"):
            SqliteFile.open(path, 1)


def test_nothing_stays_open_after_close_or_a_failed_open(path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names
    file = SqliteFile.open(path, 4)
    with file.connection(1), file.connection(1):
        pass
    file.close()
    path.write_bytes(b"x" * 10_000)
    with pytest.raises(IntegrityError):
        SqliteFile.open(path, 4)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
