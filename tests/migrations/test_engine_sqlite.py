"""The engine on a real SQLite file."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from bibd.errors import BibdError, RefusedError
from bibd.migrations import sqlite_script
from bibd.migrations.backend import StepProgress
from bibd.migrations.engine import Cancelled, Migrator, Retry
from bibd.migrations.plan import Down, Goto, UpAll
from bibd.migrations.restore_point import SqliteRestorePoint
from bibd.migrations.source import Migration, builtin
from bibd.migrations.sqlite import BUILTIN, SqliteMigrations
from bibd.sqlite.file import SqliteFile
from tests.migrations.scenario import SEEDED, migrations_in, nothing, run, sqlite_migrator

TWO = {
    "000001_a.up": "CREATE TABLE a (x);",
    "000001_a.down": "DROP TABLE a;",
    "000002_b.up": """
        -- semicolons; in comments
        CREATE TABLE log (x TEXT DEFAULT 'a;b');
        CREATE TRIGGER note AFTER INSERT ON a BEGIN
            INSERT INTO log VALUES (new.x || ';');
            INSERT INTO log (x) VALUES ('second');
        END;
        INSERT INTO a VALUES (1);
        /* done; */""",
    "000002_b.down": "DROP TRIGGER note; DROP TABLE log;",
}


@pytest.fixture
def file(tmp_path: Path) -> Iterator[SqliteFile]:
    file = SqliteFile.open(tmp_path / "cache.db", 10)
    yield file
    file.close()


@pytest.fixture
def connection(file: SqliteFile) -> Iterator[sqlite3.Connection]:
    with file.connection(1) as connection:
        yield connection


def tables(connection: sqlite3.Connection) -> list[str]:
    names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1")
    return [name for (name,) in names if not name.startswith("bibd_")]


def test_up_down_and_up_again(connection: sqlite3.Connection, tmp_path: Path) -> None:
    found = sqlite_migrator(connection, migrations_in(tmp_path / "m", TWO))
    assert found.status().state == "pending"
    assert run(found).applied_now == (1, 2)
    assert run(found).applied_now == ()
    assert connection.execute("SELECT x FROM log").fetchall() == [("1;",), ("second",)]
    assert [(row.entry.version, row.entry.statements, row.applied_by) for row in found.rows()] == [
        (1, 1, "a test"),
        (2, 3, "a test"),
    ]
    assert found.rows()[0].applied_at is not None
    assert run(found, Down(1)).version == 1
    assert tables(connection) == ["a"]
    assert run(found, Goto(0)).pending == 2
    assert run(found).version == 2


def test_a_failing_file_leaves_nothing_and_says_where(connection: sqlite3.Connection, tmp_path: Path) -> None:
    files = {**TWO, "000002_b.up": "CREATE TABLE half (x);\nINSERT INTO missing VALUES (1);"}
    found = sqlite_migrator(connection, migrations_in(tmp_path / "m", files))
    with pytest.raises(BibdError, match=r"000002_b\.up\.sql:2: no such table: missing") as failed:
        run(found)
    assert "nothing of this file remains" in failed.value.hint
    assert tables(connection) == ["a"]
    assert not connection.in_transaction


def test_statement_by_statement_goes_on_after_what_is_finished(connection: sqlite3.Connection, tmp_path: Path) -> None:
    files = {
        "1_a.up": "PRAGMA foreign_keys = OFF; CREATE TABLE a (x); INSERT INTO a VALUES (1); VACUUM;"
        "INSERT INTO a SELECT foreign_keys FROM pragma_foreign_keys; INSERT INTO wrong VALUES (1);"
        "INSERT INTO a SELECT foreign_keys FROM pragma_foreign_keys;"
    }
    found = sqlite_migrator(connection, migrations_in(tmp_path / "m", files))
    with pytest.raises(BibdError, match="no such table: wrong"):
        run(found)
    assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
    assert found.status().state == "dirty"
    assert "no such table: wrong" in found.status().action
    files["1_a.up"] = files["1_a.up"].replace("INTO wrong", "INTO a")
    found = sqlite_migrator(connection, migrations_in(tmp_path / "m", files))
    assert found.recover(progress=nothing, cancel=threading.Event()).state == "clean"
    # The setting was made again for the rest, and undone.
    assert connection.execute("SELECT x FROM a").fetchall() == [(1,), (0,), (1,), (0,)]
    assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_a_file_leaves_nothing_in_the_connection(connection: sqlite3.Connection, tmp_path: Path) -> None:
    files = {
        "1_a.up": f"ATTACH '{tmp_path}/other.db' AS other; CREATE TABLE other.t (x); PRAGMA recursive_triggers = ON;",
        "2_b.up": "CREATE TEMP TABLE t (x); CREATE TEMP VIEW v AS SELECT * FROM t; CREATE TABLE b (x);",
        "3_c.up": "CREATE TEMP TABLE t (x); CREATE TABLE c (x);",
    }
    assert run(sqlite_migrator(connection, migrations_in(tmp_path / "m", files))).version == 3
    assert [name for _, name, _ in connection.execute("PRAGMA database_list")] in (["main"], ["main", "temp"])
    assert connection.execute("PRAGMA recursive_triggers").fetchone() == (0,)
    assert connection.execute("SELECT name FROM temp.sqlite_schema").fetchall() == []


def test_a_writer_is_waited_for_and_a_held_database_is_an_error_after_its_time(
    connection: sqlite3.Connection, file: SqliteFile, tmp_path: Path
) -> None:
    migrations = migrations_in(tmp_path / "m", TWO)
    with closing(sqlite3.connect(file.path, isolation_level=None, check_same_thread=False)) as other:
        quick = Retry(attempts=2, first_delay=0.01, longest_delay=0.01)
        run(sqlite_migrator(connection, migrations), Goto(1))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BibdError, match="database is locked"):
            run(sqlite_migrator(connection, migrations, lock_timeout=0.05, retry=quick))
        told: list[StepProgress] = []

        def release(step: StepProgress) -> None:
            told.append(step)
            if step.state == "retrying":
                other.execute("COMMIT")

        assert run(sqlite_migrator(connection, migrations, lock_timeout=0.05), progress=release).version == 2
        assert [step.state for step in told] == ["retrying", "running", "running", "running", "done"]


def test_one_migrates_the_others_wait_and_see_it(file: SqliteFile, tmp_path: Path) -> None:
    migrations = migrations_in(tmp_path / "m", TWO)
    together = threading.Barrier(8)
    ran: list[tuple[int, ...]] = []

    def node() -> None:
        with file.connection(20) as connection:
            together.wait(20)
            ran.append(run(sqlite_migrator(connection, migrations)).applied_now)

    threads = [threading.Thread(target=node) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ran) == [(), (), (), (), (), (), (), (1, 2)]


def test_waiting_tells_who_migrates_and_ends_when_told_to(
    connection: sqlite3.Connection, file: SqliteFile, tmp_path: Path
) -> None:
    migrations = migrations_in(tmp_path / "m", TWO)
    cancel = threading.Event()
    told: list[StepProgress] = []

    def stop(step: StepProgress) -> None:
        told.append(step)
        cancel.set()

    with file.connection(1) as other:
        holder = SqliteMigrations(other, "schema_migrations", random=SEEDED)
        with holder.exclusive(threading.Event(), lambda _: None), pytest.raises(Cancelled):
            sqlite_migrator(connection, migrations).run(UpAll(), progress=stop, cancel=cancel)
    assert told[0].state == "waiting for lock"
    assert told[0].detail.startswith("held by pid ")
    assert run(sqlite_migrator(connection, migrations)).version == 2


def test_cancel_ends_the_statement_that_runs(connection: sqlite3.Connection, tmp_path: Path) -> None:
    endless = (
        "CREATE TABLE half (x); WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    )
    found = sqlite_migrator(connection, migrations_in(tmp_path / "m", {"1_a.up": endless}))
    cancel = threading.Event()

    def stop(step: StepProgress) -> None:
        if step.statement == 2:
            # A moment later, when it runs.
            threading.Timer(0.2, cancel.set).start()

    with pytest.raises(Cancelled):
        found.run(UpAll(), progress=stop, cancel=cancel)
    assert tables(connection) == []
    assert found.status().state == "pending"


def test_a_down_keeps_a_copy_first(connection: sqlite3.Connection, tmp_path: Path) -> None:
    point = SqliteRestorePoint(connection, directory=tmp_path / "points")
    found = sqlite_migrator(connection, migrations_in(tmp_path / "m", TWO), restore_point=point)
    run(found)
    (path,) = run(found, Down(1)).restore_points
    with closing(sqlite3.connect(path)) as copy:
        assert copy.execute("SELECT x FROM log").fetchall() == [("1;",), ("second",)]
    assert tables(connection) == ["a"]


def test_force_and_adopt(connection: sqlite3.Connection, tmp_path: Path) -> None:
    connection.execute("CREATE TABLE schema_migrations (version uint64, dirty bool)")
    connection.execute("INSERT INTO schema_migrations VALUES (1, 0)")
    found = sqlite_migrator(connection, migrations_in(tmp_path / "m", TWO))
    with pytest.raises(RefusedError, match="golang-migrate"):
        run(found)
    connection.execute("CREATE TABLE a (x)")
    assert run(found, adopt=True).adopted == ("000001_a",)
    assert found.force(1).pending == 1
    assert found.force(2).state == "clean"


def test_the_builtin_set_goes_up_down_and_up_and_remembers_starts(connection: sqlite3.Connection) -> None:
    backend = SqliteMigrations(connection, BUILTIN, random=SEEDED)
    found = Migrator(
        backend,
        builtin("sqlite"),
        parse=sqlite_script.parse,
        applied_by="bibd",
        lock_timeout=1,
        restore_point=None,
        random=SEEDED,
    )
    assert run(found).applied_now == (1,)
    backend.record_start("n1", "0.1.0")
    connection.execute("UPDATE bibd_node SET first_seen = '2000', last_start = '2000'")
    backend.record_start("n1", "0.2.0")
    ((name, version, first, last),) = connection.execute("SELECT * FROM bibd_node").fetchall()
    assert (name, version, first) == ("n1", "0.2.0", "2000")
    assert last > "2000"
    assert run(found, Down(1)).version == 0
    assert run(found).applied_now == (1,)


def test_a_database_in_memory_needs_no_lock(tmp_path: Path) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrations: Sequence[Migration] = migrations_in(tmp_path / "m", TWO)
        assert run(sqlite_migrator(connection, migrations)).version == 2
