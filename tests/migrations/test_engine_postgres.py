"""The engine on a real PostgreSQL: what runs, what is kept, what a failure leaves."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bibd.errors import BibdError, IntegrityError, RefusedError, UsageError
from bibd.migrations.backend import StepProgress
from bibd.migrations.engine import Cancelled, Migrator, Retry
from bibd.migrations.plan import Down, Goto, MigrationState, Up, UpAll
from bibd.migrations.postgres import BUILTIN, PostgresMigrations, whole
from bibd.migrations.script import Script, ScriptError
from bibd.migrations.source import Migration, builtin
from tests.migrations.conftest import Connect
from tests.migrations.driver import exit_code, migrate_and_die, start
from tests.migrations.scenario import SEEDED, Server, migrations_in, migrator, nothing, query, run, temporary_database

QUICK = Retry(attempts=3, first_delay=0.01, longest_delay=0.01)
TWO = {
    "000001_a.up": "CREATE TABLE a (x int);",
    "000001_a.down": "DROP TABLE a;",
    "000002_b.up": "CREATE TABLE b (x int); INSERT INTO b VALUES (1);",
    "000002_b.down": "DROP TABLE b;",
}


def tables(session: psycopg.Connection) -> list[str]:
    rows = query(session, "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
    return sorted(name for (name,) in rows)


def test_each_runs_once_and_another_run_only_looks(connect: Connect, tmp_path: Path) -> None:
    found = migrator(connect(), migrations_in(tmp_path, TWO))
    assert found.status() == MigrationState("pending", 0, 2, action="run what is pending: bib admin migrate up")
    first = run(found)
    assert (first.state, first.version, first.applied_now, first.ran) == ("clean", 2, (1, 2), ("000001_a", "000002_b"))
    again = run(found)
    assert (again.state, again.applied_now, again.ran) == ("clean", (), ())
    session = connect()
    assert query(session, "SELECT x FROM b") == [(1,)]
    assert [(row.entry.version, row.entry.statements, row.applied_by) for row in found.rows()] == [
        (1, 1, "a test"),
        (2, 2, "a test"),
    ]


def test_goals_go_there_and_back(connect: Connect, tmp_path: Path) -> None:
    session = connect()
    found = migrator(session, migrations_in(tmp_path, TWO))
    assert run(found, Up(1)).version == 1
    assert [step.direction for step in found.plan(UpAll()).steps] == ["up"]
    assert run(found, Goto(2)).applied_now == (2,)
    undone = run(found, Down(1))
    assert (undone.version, undone.ran, undone.applied_now) == (1, ("000002_b",), ())
    assert run(found, Goto(0)).pending == 2
    assert tables(session) == []
    assert run(found).version == 2


class Counting:
    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self.requests = 0

    def execute(self, query: bytes, params: Sequence[Any] | None = None, *, prepare: bool | None = None) -> Any:
        self.requests += 1
        return self._connection.execute(query, params, prepare=prepare)

    def cancel_safe(self, *, timeout: float = 30.0) -> None:
        raise AssertionError


def test_a_clean_database_costs_two_round_trips_and_a_small_file_one(connect: Connect, tmp_path: Path) -> None:
    migrations = migrations_in(tmp_path, {f"{n:06}_m.up": f"CREATE TABLE t{n} (x int)" for n in range(1, 21)})
    run(migrator(connect(), migrations[:10]))
    counting = Counting(connect())
    assert migrator(counting, migrations[:10]).status().state == "clean"
    assert counting.requests == 2
    run(migrator(counting, migrations))
    # 10 files; the state four times, the lock twice, the table once.
    assert counting.requests <= 2 + 10 + 2 * 4 + 4


def builtin_of(session: psycopg.Connection) -> Migrator:
    return Migrator(
        PostgresMigrations(session, BUILTIN, random=SEEDED),
        builtin("postgres"),
        parse=whole,
        applied_by="bibd",
        lock_timeout=5,
        restore_point=None,
        random=SEEDED,
    )


def test_the_builtin_set_goes_up_down_and_up_and_remembers_starts(connect: Connect) -> None:
    session = connect("postgres")
    assert run(builtin_of(session)).applied_now == (1,)
    backend = PostgresMigrations(session, BUILTIN, random=SEEDED)
    backend.record_start("n1", "0.1.0")
    first = query(session, "SELECT id, version, first_seen, last_start FROM bibd.node")[0]
    backend.record_start("n1", "0.2.0")
    second = query(session, "SELECT id, version, first_seen, last_start FROM bibd.node")[0]
    assert (first[:2], second[:2], first[2]) == (("n1", "0.1.0"), ("n1", "0.2.0"), second[2])
    assert second[3] > first[3]
    assert run(builtin_of(session), Down(1)).version == 0
    assert run(builtin_of(session)).applied_now == (1,)


def test_the_builtin_set_never_imports_the_parser() -> None:
    code = "import sys, bibd.migrations.engine, bibd.migrations.postgres; print('pglast' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"False\n"


def test_tables_of_the_owner_lie_in_public_and_not_among_those_of_bibd(connect: Connect, tmp_path: Path) -> None:
    run(builtin_of(connect("postgres")))
    session = connect()
    run(migrator(session, migrations_in(tmp_path, TWO)))
    assert tables(session) == ["a", "b"]
    assert query(session, "SELECT current_schemas(false)") == [(["public"],)]


def test_a_file_leaves_nothing_in_the_session_for_the_next(connect: Connect, tmp_path: Path) -> None:
    files = {
        # As pg_dump begins.
        "000001_dump.up": "SELECT pg_catalog.set_config('search_path', '', false); CREATE TABLE public.a (x int);",
        "000002_more.up": "SET ROLE bibd; CREATE TEMP TABLE t (x int); CREATE TABLE b (x int);",
        "000003_marked.up": "-- bibd: no-transaction\nSET search_path = pg_catalog; SET lock_timeout = 0;",
        "000004_last.up": "CREATE TEMP TABLE t (x int); CREATE TABLE c AS SELECT current_setting('lock_timeout') AS x;",
    }
    session = connect()
    assert run(migrator(session, migrations_in(tmp_path, files), lock_timeout=3)).version == 4
    assert query(session, "SELECT x FROM c") == [("3s",)]
    assert query(session, "SHOW search_path") == [('"$user", public',)]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("CREATE TABLE half (x int);\n\nINSERT INTO half\n  VALUES ('one');", r"000002_b\.up\.sql:4:11: invalid input"),
        ("CREATE TABLE half (x int); SELECT 1/0;", r"000002_b\.up\.sql:1: division by zero"),
        (
            "CREATE TABLE half (x int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED); INSERT INTO half VALUES (1), (1)",
            "Key",
        ),
        ("CREATE TABLE half (x int); SELECT pg_terminate_backend(pg_backend_pid());", "terminat"),
        (
            "CREATE TABLE half (x int); DO $$ BEGIN RAISE 'no' USING HINT = 'say yes'; END $$",
            r":1: no \(PL/pgSQL function inline_code_block line 1 at RAISE\)",
        ),
    ],
)
def test_a_failing_file_leaves_nothing_and_says_where(connect: Connect, tmp_path: Path, sql: str, said: str) -> None:
    migrations = migrations_in(tmp_path, {**TWO, "000002_b.up": sql})
    with pytest.raises(BibdError, match=said) as failed:
        run(migrator(connect(), migrations))
    assert "nothing of this file remains" in failed.value.hint
    if "RAISE" in sql:
        assert "say yes" in failed.value.hint
    session = connect()
    assert tables(session) == ["a"]
    state = migrator(session, migrations).status()
    assert (state.state, state.version, state.pending) == ("pending", 1, 1)
    assert run(migrator(session, migrations_in(tmp_path, TWO))).version == 2


def test_nothing_runs_when_a_later_file_is_wrong(connect: Connect, tmp_path: Path) -> None:
    session = connect()
    with pytest.raises(ScriptError, match=r"000002_b\.up\.sql:1:8"):
        run(migrator(session, migrations_in(tmp_path, {**TWO, "000002_b.up": "CREATE TABL b (x int)"})))
    assert tables(session) == []


def test_an_edited_file_is_refused_and_nothing_changes(connect: Connect, tmp_path: Path) -> None:
    session = connect()
    run(migrator(session, migrations_in(tmp_path, TWO)), Up(1))
    edited = migrator(session, migrations_in(tmp_path, {**TWO, "000001_a.up": "CREATE TABLE other (x int)"}))
    with pytest.raises(IntegrityError, match="was changed after it had been applied"):
        run(edited)
    assert edited.status().state == "mismatch"
    assert tables(session) == ["a"]


def test_a_script_with_percent_signs_braces_and_a_last_comment_runs_as_it_is(connect: Connect, tmp_path: Path) -> None:
    session = connect()
    run(migrator(session, migrations_in(tmp_path, {"1_odd.up": "CREATE TABLE a AS SELECT '1 %s {x} \\' AS x -- end"})))
    assert query(session, "SELECT x FROM a") == [("1 %s {x} \\",)]


def test_progress_tells_each_statement_and_no_secret(connect: Connect, tmp_path: Path) -> None:
    told: list[StepProgress] = []
    files = {"1_a.up": "CREATE TABLE a (\n  x int);\nSELECT 'PASSWORD hunter2';"}
    run(migrator(connect(), migrations_in(tmp_path, files)), progress=told.append)
    assert [(step.statement, step.statements, step.text, step.state) for step in told] == [
        (1, 2, "CREATE TABLE a ( x int)", "running"),
        (2, 2, "SELECT …", "running"),
        (2, 2, "SELECT …", "done"),
    ]


DUPLICATES = {
    "1_a.up": "CREATE TABLE a (x int); INSERT INTO a VALUES (1), (1);",
    "2_b.up": "CREATE UNIQUE INDEX CONCURRENTLY a_x ON a (x);",
}


def test_a_file_whose_first_statement_fails_is_not_dirty(connect: Connect, tmp_path: Path) -> None:
    session = connect()
    found = migrator(session, migrations_in(tmp_path, DUPLICATES))
    with pytest.raises(BibdError, match=r"2_b\.up\.sql:1: could not create unique index") as failed:
        run(found)
    assert "nothing of this file remains" in failed.value.hint
    assert found.status().state == "pending"
    assert query(session, "SELECT FROM pg_index WHERE NOT indisvalid") == []
    session.execute(b"TRUNCATE a")
    assert run(found).version == 2


def test_a_dirty_file_goes_on_after_its_finished_statements_when_corrected(connect: Connect, tmp_path: Path) -> None:
    files = {
        "1_a.up": "CREATE TABLE a (x int);",
        "2_b.up": "SET search_path = app, public; CREATE SCHEMA app; INSERT INTO a VALUES (1); VACUUM a; SELECT wrong;"
        "CREATE TABLE late (x int);",
    }
    session = connect()
    found = migrator(session, migrations_in(tmp_path, files))
    with pytest.raises(BibdError, match='column "wrong" does not exist') as failed:
        run(found)
    assert "4 of its 6 statements are finished" in failed.value.hint
    state = found.status()
    assert (state.state, state.version, state.pending) == ("dirty", 2, 1)
    assert 'column "wrong" does not exist' in state.action
    files["2_b.up"] = files["2_b.up"].replace("wrong", "1")
    corrected = migrator(connect(), migrations_in(tmp_path, files))
    assert run(corrected).applied_now == (2,)
    assert query(session, "SELECT x FROM a") == [(1,)]
    # SET was repeated in the new session.
    assert query(session, "SELECT 'app.late'::regclass::text") == [("app.late",)]
    assert corrected.rows()[1].failure is None


def test_an_edited_finished_statement_is_asked_about(connect: Connect, tmp_path: Path) -> None:
    files = {"1_a.up": "-- bibd: no-transaction\nCREATE TABLE a (x int); SELECT wrong;"}
    session = connect()
    with pytest.raises(BibdError, match="wrong"):
        run(migrator(session, migrations_in(tmp_path, files)))
    files["1_a.up"] = "-- bibd: no-transaction\nCREATE TABLE a (x int, y int); SELECT 1;"
    found = migrator(session, migrations_in(tmp_path, files))
    with pytest.raises(IntegrityError, match="stopped after 1 of 2"):
        run(found)
    assert found.recover(progress=nothing, cancel=threading.Event()).state == "dirty"
    told = found.explain_reset()
    assert told.possible
    assert "was changed since" in told.explanation
    assert "1_a.up.sql" in told.explanation
    assert found.reset(progress=nothing, cancel=threading.Event()).state == "clean"
    assert found.explain_reset().possible is False


def cut_off(server: Server, dbname: str, directory: Path, needle: str) -> None:
    """Kill a process right after the server has run what contains ``needle``."""
    with temporary_database(server, "rehearsal") as rehearsal:
        sent = Sent(rehearsal)
        run(migrator(sent, migrations_in(directory, {})))
    at = next(number for number, sql in enumerate(sent.sent) if needle in sql)
    killed = start(migrate_and_die, server.endpoint(dbname), directory, at, "after")
    assert exit_code(killed) == -9


class Sent(Counting):
    def __init__(self, connection: psycopg.Connection) -> None:
        super().__init__(connection)
        self.sent: list[str] = []

    def execute(self, query: bytes, params: Sequence[Any] | None = None, *, prepare: bool | None = None) -> Any:
        self.sent.append(query.decode())
        return super().execute(query, params, prepare=prepare)


def test_what_may_not_run_twice_is_asked_about_and_counts_when_it_was_done(
    server: Server, dbname: str, connect: Connect, tmp_path: Path
) -> None:
    migrations = migrations_in(
        tmp_path,
        {
            "1_a.up": "CREATE TABLE a (x int) PARTITION BY LIST (x); CREATE TABLE b PARTITION OF a FOR VALUES IN (1);",
            "2_b.up": "ALTER TABLE a DETACH PARTITION b CONCURRENTLY; INSERT INTO b VALUES (1);",
        },
    )
    cut_off(server, dbname, tmp_path, "DETACH")
    session = connect()
    found = migrator(session, migrations)
    state = found.status()
    assert (state.state, state.version) == ("dirty", 2)
    assert "bib admin migrate --reset" in state.action
    assert found.recover(progress=nothing, cancel=threading.Event()).state == "dirty"
    with pytest.raises(IntegrityError):
        run(found)
    told = found.explain_reset()
    assert told.possible
    assert "counts as finished" in told.explanation
    outcome = found.reset(progress=nothing, cancel=threading.Event())
    assert (outcome.state, outcome.applied_now) == ("clean", (2,))
    assert query(session, "SELECT x FROM b") == [(1,)]


def test_recover_finishes_what_is_provably_safe(server: Server, dbname: str, connect: Connect, tmp_path: Path) -> None:
    migrations = migrations_in(
        tmp_path, {"1_a.up": "CREATE TABLE a (x int);", "2_b.up": "CREATE INDEX CONCURRENTLY i ON a (x);"}
    )
    cut_off(server, dbname, tmp_path, "CREATE INDEX")
    found = migrator(connect(), migrations)
    assert found.status().state == "dirty"
    assert "Go on: bib admin migrate up" in found.status().action
    before = query(connect(), "SELECT 'i'::regclass::oid")
    outcome = found.recover(progress=nothing, cancel=threading.Event())
    assert (outcome.state, outcome.ran) == ("clean", ("2_b",))
    # It was complete: not built again.
    assert query(connect(), "SELECT 'i'::regclass::oid") == before


def test_a_missing_file_of_a_dirty_migration_is_named(
    server: Server, dbname: str, connect: Connect, tmp_path: Path
) -> None:
    migrations = migrations_in(
        tmp_path, {"1_a.up": "CREATE TABLE a (x int);", "2_b.up": "CREATE INDEX CONCURRENTLY i ON a (x);"}
    )
    cut_off(server, dbname, tmp_path, "CREATE INDEX")
    found = migrator(connect(), migrations[:1])
    assert "is missing" in found.status().action
    assert "is missing" in found.explain_reset().explanation
    with pytest.raises(IntegrityError, match=r"its \.up\.sql is missing"):
        run(found)


def test_a_down_that_was_cut_off_is_finished(server: Server, dbname: str, connect: Connect, tmp_path: Path) -> None:
    files = {
        "1_a.up": "CREATE TABLE a (x int); CREATE INDEX i ON a (x);",
        "1_a.down": "DROP INDEX CONCURRENTLY IF EXISTS i; DROP TABLE a; SELECT wrong;",
    }
    session = connect()
    found = migrator(session, migrations_in(tmp_path, files))
    run(found)
    with pytest.raises(BibdError, match="wrong"):
        run(found, Down(1))
    assert found.status().state == "dirty"
    files["1_a.down"] = files["1_a.down"].replace("SELECT wrong", "SELECT 1")
    found = migrator(session, migrations_in(tmp_path, files))
    outcome = found.recover(progress=nothing, cancel=threading.Event())
    assert (outcome.state, outcome.version, outcome.ran, outcome.applied_now) == ("pending", 0, ("1_a",), ())
    assert tables(session) == []


def test_a_down_whose_first_statement_fails_stays_applied(connect: Connect, tmp_path: Path) -> None:
    files = {"1_a.up": "CREATE TABLE a (x int);", "1_a.down": "DROP INDEX CONCURRENTLY IF EXISTS a; DROP TABLE a;"}
    found = migrator(connect(), migrations_in(tmp_path, files))
    run(found)
    before = found.rows()[0].entry
    with pytest.raises(BibdError, match='"a" is not an index'):
        run(found, Down(1))
    assert found.rows()[0].entry == before
    assert found.status().state == "clean"


def test_force_records_and_runs_nothing(connect: Connect, tmp_path: Path) -> None:
    session = connect()
    found = migrator(session, migrations_in(tmp_path, TWO))
    assert found.force(1).version == 1
    assert tables(session) == []
    assert [row.applied_by for row in found.rows()] == ["a test, forced"]
    assert found.force(2).state == "clean"
    edited = migrator(session, migrations_in(tmp_path, {**TWO, "000001_a.up": "CREATE TABLE z (x int)"}))
    assert edited.status().state == "mismatch"
    assert edited.force(2).state == "clean"
    assert edited.force(0).pending == 2
    with pytest.raises(UsageError, match="no migration has the version 7"):
        edited.force(7)


def test_force_gives_up_when_another_one_migrates(connect: Connect, tmp_path: Path) -> None:
    found = migrator(connect(), migrations_in(tmp_path, TWO), lock_timeout=0.1)
    other = PostgresMigrations(connect("bibd", "another"), BUILTIN, random=SEEDED)
    with (
        other.exclusive(threading.Event(), lambda _: None),
        pytest.raises(BibdError, match=r"held the lock for 0\.1 s: pid \d+ \(another\)"),
    ):
        found.force(1)


def test_a_lost_session_is_an_error_of_ours(connect: Connect, tmp_path: Path) -> None:
    migrations = migrations_in(tmp_path, {"1_a.up": "VACUUM; SELECT pg_terminate_backend(pg_backend_pid())"})
    session = connect()
    with pytest.raises(BibdError, match="terminat"):
        run(migrator(session, migrations))
    with pytest.raises(BibdError, match="the database did not do what migrations need: the connection is closed"):
        migrator(session, migrations).status()
    assert migrator(connect(), migrations).status().state == "dirty"


class Refusing:
    def take(self, migration: Migration, script: Script, cancel: threading.Event) -> Path:
        raise BibdError("the restore point failed: disk full")


class Taking:
    def __init__(self, session: psycopg.Connection) -> None:
        self._session = session
        self.seen: list[tuple[int, list[str]]] = []

    def take(self, migration: Migration, script: Script, cancel: threading.Event) -> Path:
        del cancel
        assert script.path == migration.down_path
        self.seen.append((migration.version, tables(self._session)))
        return Path(f"/restore/{migration.version}")


def test_a_down_takes_its_restore_point_first_and_does_not_run_without(connect: Connect, tmp_path: Path) -> None:
    session = connect()
    migrations = migrations_in(tmp_path, TWO)
    run(migrator(session, migrations))
    with pytest.raises(BibdError, match="disk full"):
        run(migrator(session, migrations, restore_point=Refusing()), Down(1))
    assert tables(session) == ["a", "b"]
    taking = Taking(session)
    outcome = run(migrator(session, migrations, restore_point=taking), Goto(0))
    assert outcome.restore_points == (Path("/restore/2"), Path("/restore/1"))
    assert taking.seen == [(2, ["a", "b"]), (1, ["a"])]


def test_an_applied_file_that_golang_migrate_left_is_refused_without_adopt(connect: Connect, tmp_path: Path) -> None:
    session = connect()
    session.execute(b"CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL)")
    session.execute(b"INSERT INTO schema_migrations VALUES (1, false)")
    found = migrator(session, migrations_in(tmp_path, TWO))
    assert "--adopt" in found.status().action
    with pytest.raises(RefusedError, match="golang-migrate has migrated this database"):
        run(found)
    with pytest.raises(RefusedError):
        found.plan(UpAll())
    assert [step.migration.version for step in found.plan(UpAll(), adopt=True).steps] == [2]
    assert found.adoption() == ("000001_a",)
    outcome = run(found, adopt=True)
    assert (outcome.state, outcome.adopted, outcome.ran) == ("clean", ("000001_a",), ("000002_b",))
    assert tables(session) == ["b", "schema_migrations"]
    assert run(found, adopt=True).adopted == ()
    assert replace(outcome, adopted=()).version == 2


def test_cancel_before_a_file_leaves_what_was_done(connect: Connect, tmp_path: Path) -> None:
    session = connect()
    cancel = threading.Event()

    def stop_after_first(step: StepProgress) -> None:
        if step.state == "done":
            cancel.set()

    with pytest.raises(Cancelled):
        migrator(session, migrations_in(tmp_path, TWO)).run(UpAll(), progress=stop_after_first, cancel=cancel)
    assert tables(session) == ["a"]
    assert run(migrator(session, migrations_in(tmp_path, TWO))).applied_now == (2,)


def test_a_finished_statement_whose_record_fails_stays_in_doubt(connect: Connect, tmp_path: Path) -> None:
    session = connect()
    found = migrator(session, migrations_in(tmp_path, {"1_a.up": "VACUUM pg_class; CREATE TABLE a (x int);"}))
    found.force(0)  # makes the state table
    session.execute(
        b"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'disk full'; END $$;"
        b"CREATE TRIGGER refuse BEFORE UPDATE ON bibd_migrations.schema_migrations"
        b" FOR EACH ROW WHEN (new.done = 1) EXECUTE FUNCTION refuse()"
    )
    with pytest.raises(BibdError, match="could not be written: disk full"):
        run(found)
    (row,) = found.rows()
    assert (row.entry.done, row.entry.applied, row.failure) == (0, False, None)
    session.execute(b"DROP TRIGGER refuse ON bibd_migrations.schema_migrations")
    assert run(found).applied_now == (1,)
