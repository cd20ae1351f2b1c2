"""Migrations on a real SQLite file."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from bibd.errors import BibdError
from bibd.migrations.engine import MigrationState, migrate, state
from bibd.migrations.source import Migration, builtin
from bibd.migrations.sqlite import SqliteMigrations, statements
from bibd.sqlite.file import SqliteFile

NODE = builtin("sqlite")
TRIGGER = """
-- semicolons; in comments
CREATE TABLE log (x TEXT DEFAULT 'a;b');
CREATE TRIGGER note AFTER INSERT ON bibd_node BEGIN
    INSERT INTO log VALUES (new.id || ';');
    INSERT INTO log (x) VALUES ('second');
END;
/* done; */
"""


@pytest.fixture
def file(tmp_path: Path) -> Iterator[SqliteFile]:
    file = SqliteFile.open(tmp_path / "cache.db", 10)
    yield file
    file.close()


def run(file: SqliteFile, migrations: Sequence[Migration] = NODE, timeout: float = 10) -> MigrationState:
    with file.connection(1) as connection:
        return migrate(SqliteMigrations(connection), migrations, applied_by="bibd 0.1.0", lock_timeout=timeout)


def test_first_run_applies_and_the_second_only_looks(file: SqliteFile) -> None:
    assert run(file) == MigrationState("clean", 1, 0, (1,))
    assert run(file) == MigrationState("clean", 1, 0)
    with file.connection(1) as connection:
        assert state(SqliteMigrations(connection), (*NODE, *NODE)) == MigrationState("pending", 1, 1)
        row = connection.execute("SELECT version, name, checksum, applied_by FROM bibd_schema_migrations").fetchall()
    assert row == [(1, "node", NODE[0].checksum, "bibd 0.1.0")]


def test_eight_at_once_apply_each_migration_exactly_once(file: SqliteFile) -> None:
    together = threading.Barrier(8)
    results: list[MigrationState | BaseException] = []

    def node() -> None:
        try:
            together.wait(10)
            results.append(run(file))
        except BaseException as error:
            results.append(error)

    threads = [threading.Thread(target=node) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.count(MigrationState("clean", 1, 0, (1,))) == 1
    assert results.count(MigrationState("clean", 1, 0)) == 7


def test_triggers_comments_and_strings_do_not_break_a_script(file: SqliteFile) -> None:
    run(file, (*NODE, Migration(2, "trigger", TRIGGER, None, "sum")))
    with file.connection(1) as connection:
        SqliteMigrations(connection).record_start("n1", "0.1.0")
        assert connection.execute("SELECT x FROM log").fetchall() == [("n1;",), ("second",)]


def test_statements_join_to_the_script() -> None:
    found = statements(TRIGGER)
    assert "".join(found) == TRIGGER
    assert [statement.strip()[:12] for statement in found] == ["-- semicolon", "CREATE TRIGG", "/* done; */"]
    assert statements("  \n") == []
    assert statements("SELECT 1") == ["SELECT 1"]


def test_a_failing_script_changes_nothing(file: SqliteFile) -> None:
    broken = Migration(2, "broken", "CREATE TABLE half (x); INSERT INTO missing VALUES (1);", None, "sum")
    with pytest.raises(BibdError, match="migration 000002_broken failed: no such table"):
        run(file, (*NODE, broken))
    with file.connection(1) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
    assert run(file).applied_now == (1,)


def test_a_locked_database_is_an_error_after_its_time(file: SqliteFile) -> None:
    other = sqlite3.connect(file.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(BibdError, match=r"stayed locked for 0\.05 s"):
        run(file, timeout=0.05)
    other.close()
    assert run(file).applied_now == (1,)


def test_down_undoes_up(file: SqliteFile) -> None:
    run(file)
    with file.connection(1) as connection:
        for statement in statements(NODE[0].down or ""):
            connection.execute(statement)
        assert connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
    assert run(file).applied_now == (1,)


def test_each_start_of_the_node_is_remembered(file: SqliteFile) -> None:
    run(file)
    with file.connection(1) as connection:
        backend = SqliteMigrations(connection)
        backend.record_start("n1", "0.1.0")
        connection.execute("UPDATE bibd_node SET first_seen = '2000', last_start = '2000'")
        backend.record_start("n1", "0.2.0")
        ((name, version, first, last),) = connection.execute("SELECT * FROM bibd_node").fetchall()
    assert (name, version, first) == ("n1", "0.2.0", "2000")
    assert last > "2000"
