"""Killed at any request, or fifty at once: each migration runs once, and the next start mends what is left."""

from __future__ import annotations

import os
import random
import re
import signal
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bibd.migrations.source import Migration
from tests.migrations.driver import (
    Moment,
    barrier,
    exit_code,
    migrate_and_die,
    migrate_sqlite_and_die,
    migrate_sqlite_together,
    migrate_together,
    sqlite_connection,
    start,
)
from tests.migrations.scenario import Server, migrations_in, migrator, query, run, sqlite_migrator, temporary_database
from tests.migrations.sets import HERD, HERD_SQLITE, TWENTY, TWENTY_SQLITE

# All of them with a large number; about half a second each.
STARTERS = int(os.environ.get("BIBD_TEST_STARTERS", "16"))
KILLS = int(os.environ.get("BIBD_TEST_KILLS", "30"))
MOMENTS: tuple[Moment, ...] = ("before", "during", "after")

ROWS = "SELECT version, checksum, done, statements, direction, failure, applied_at IS NOT NULL FROM {} ORDER BY 1"


class Recording:
    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self.sent: list[str] = []

    def execute(self, query: bytes, params: Sequence[Any] | None = None, *, prepare: bool | None = None) -> Any:
        self.sent.append(query.decode())
        return self._connection.execute(query, params, prepare=prepare)

    def cancel_safe(self, *, timeout: float = 30.0) -> None:
        raise AssertionError


State = tuple[str, int]


def states_after(sent: Sequence[str]) -> list[State]:
    """(state, version) after each request, read from what it writes into the state table."""
    table = r'"bibd_migrations"\."schema_migrations"'
    found: list[State] = []
    now: State = ("pending", 0)
    for sql in sent:
        for change in re.findall(rf"INSERT INTO {table} .*|UPDATE {table} .*", sql):
            version = re.search(r"WHERE version = (\d+)|(\d+), E'a test'\)", change)
            assert version is not None
            number = int(version[1] or version[2])
            finished = "clock_timestamp()" in change
            now = ("clean" if number == 20 else "pending", number) if finished else ("dirty", number)
        found.append(now)
    return found


class Undisturbed:
    def __init__(self, server: Server, directory: Path) -> None:
        self.directory = directory
        self.migrations: tuple[Migration, ...] = migrations_in(directory, TWENTY)
        server.create("undisturbed")
        with server.connect("undisturbed") as connection:
            recording = Recording(connection)
            assert run(migrator(recording, self.migrations)).state == "clean"
            self.rows = query(connection, ROWS.format("bibd_migrations.schema_migrations"))
        self.schema = server.schema("undisturbed")
        self.states = states_after(recording.sent)
        server.drop("undisturbed")


@pytest.fixture(scope="module")
def undisturbed(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed(server, tmp_path_factory.mktemp("twenty"))


def points(requests: int, moments: Sequence[Moment]) -> list[tuple[int, Moment]]:
    every: list[tuple[int, Moment]] = [(at, moment) for at in range(requests) for moment in moments]
    return sorted(random.Random(20261122).sample(every, min(KILLS, len(every))))  # noqa: S311 - moments, no secrets


def until_unlocked(server: Server, dbname: str) -> None:
    """The server needs a moment to see that its client is gone, and to end what it had begun."""
    deadline = time.monotonic() + 20
    with server.connect("postgres", "postgres") as admin:
        while query(admin, f"SELECT FROM pg_stat_activity WHERE datname = '{dbname}'"):
            assert time.monotonic() < deadline
            time.sleep(0.002)


@pytest.mark.timeout(60 + 3 * KILLS)
def test_kill_at_any_request_is_classified_and_mended_by_the_next_start(
    server: Server,
    undisturbed: Undisturbed,
) -> None:
    states = undisturbed.states
    seen: set[str] = set()
    for at, moment in points(len(states), MOMENTS):
        dbname = f"kill_{at}_{moment}"
        server.create(dbname)
        killed = start(migrate_and_die, server.endpoint(dbname), undisturbed.directory, at, moment)
        assert exit_code(killed) == -signal.SIGKILL, (at, moment)
        until_unlocked(server, dbname)
        before = states[at - 1] if at else ("pending", 0)
        expected = {"before": {before}, "after": {states[at]}, "during": {before, states[at]}}[moment]
        with server.connect(dbname) as connection:
            next_start = migrator(connection, undisturbed.migrations)
            found = next_start.status()
            assert (found.state, found.version) in expected, (at, moment, found)
            seen.add(found.state)
            outcome = run(next_start)
            assert (outcome.state, outcome.version, outcome.pending) == ("clean", 20, 0), (at, moment)
            assert query(connection, ROWS.format("bibd_migrations.schema_migrations")) == undisturbed.rows
        assert server.schema(dbname) == undisturbed.schema, (at, moment)
        server.drop(dbname)
    assert seen == {"pending", "dirty", "clean"}


@pytest.mark.timeout(60 + 3 * STARTERS)
def test_a_herd_that_starts_at_once_runs_each_migration_once(server: Server, tmp_path: Path) -> None:
    migrations_in(tmp_path, HERD)
    with temporary_database(server, "herd") as session:
        together = barrier(STARTERS)
        herd = [start(migrate_together, server.endpoint("herd"), tmp_path, together) for _ in range(STARTERS)]
        assert [exit_code(process) for process in herd] == [0] * STARTERS
        assert query(session, "SELECT version FROM ran ORDER BY 1") == [(1,), (2,), (3,), (4,), (6,)]
        assert query(session, "SELECT count(applied_at), count(*) FROM bibd_migrations.schema_migrations") == [(6, 6)]
        assert query(session, "SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]
        # Reported when a session ends, so all of them have.
        until_unlocked(server, "nobody")
        assert query(session, "SELECT deadlocks FROM pg_stat_database WHERE datname = 'herd'") == [(0,)]


@pytest.mark.timeout(60 + 3 * STARTERS)
def test_a_herd_on_one_sqlite_file_runs_each_migration_once(tmp_path: Path) -> None:
    migrations_in(tmp_path / "m", HERD_SQLITE)
    together = barrier(STARTERS)
    herd = [start(migrate_sqlite_together, tmp_path / "herd.db", tmp_path / "m", together) for _ in range(STARTERS)]
    assert [exit_code(process) for process in herd] == [0] * STARTERS
    with closing(sqlite_connection(tmp_path / "herd.db")) as connection:
        assert connection.execute("SELECT version FROM ran ORDER BY 1").fetchall() == [(1,), (2,), (3,)]


class RecordingSqlite(sqlite3.Connection):
    """Notes (state, version) after each statement, read from what it writes into the state table and commits."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.states: list[State] = []
        self._now: State = ("pending", 0)
        self._next = self._now

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if re.match(r'(INSERT INTO|UPDATE) main\."bibd_schema_migrations"', sql):
            number = parameters[-1] if sql.startswith("UPDATE") else parameters[-2]
            finished = "strftime" in sql
            self._next = ("clean" if number == 20 else "pending", number) if finished else ("dirty", number)
        if sql == "COMMIT":
            self._now = self._next
        self.states.append(self._now)
        return super().execute(sql, parameters)


def content(connection: sqlite3.Connection) -> tuple[list[str], list[Any]]:
    dump = sorted(line for line in connection.iterdump() if "bibd_schema_migrations" not in line)
    columns = "version, checksum, done, statements, direction, failure, applied_at IS NOT NULL"
    rows = connection.execute(f"SELECT {columns} FROM bibd_schema_migrations ORDER BY 1").fetchall()  # noqa: S608
    return dump, rows


@pytest.mark.timeout(60 + KILLS)
def test_kill_at_any_statement_on_sqlite_is_classified_and_mended_by_the_next_start(tmp_path: Path) -> None:
    migrations = migrations_in(tmp_path / "m", TWENTY_SQLITE)
    with closing(sqlite_connection(tmp_path / "undisturbed.db", RecordingSqlite)) as recording:
        assert isinstance(recording, RecordingSqlite)
        assert run(sqlite_migrator(recording, migrations)).state == "clean"
        states = list(recording.states)
        undisturbed = content(recording)
    seen: set[str] = set()
    for at, moment in points(len(states), ("before", "after")):
        path = tmp_path / f"{at}_{moment}.db"
        killed = start(migrate_sqlite_and_die, path, tmp_path / "m", at, moment)
        assert exit_code(killed) == -signal.SIGKILL, (at, moment)
        before = states[at - 1] if at else ("pending", 0)
        with closing(sqlite_connection(path)) as connection:
            next_start = sqlite_migrator(connection, migrations)
            found = next_start.status()
            assert (found.state, found.version) == (before if moment == "before" else states[at]), (at, moment)
            seen.add(found.state)
            outcome = run(next_start)
            assert (outcome.state, outcome.version, outcome.pending) == ("clean", 20, 0), (at, moment)
            assert content(connection) == undisturbed, (at, moment)
        path.unlink()
    assert seen == {"pending", "dirty", "clean"}
