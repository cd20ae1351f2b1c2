"""Migrations on a real PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from bibd.errors import BibdError, IntegrityError
from bibd.migrations.engine import MigrationState, migrate, state
from bibd.migrations.postgres import LOCK_KEY, PostgresMigrations
from bibd.migrations.source import Migration, builtin
from tests.migrations.conftest import Connect

NODE = builtin("postgres")
# Fails at once when it is applied twice, and takes long enough for others to come too.
SLOW = Migration(2, "slow", "CREATE TABLE public.once (x int); SELECT pg_sleep(0.2);", None, "sum")


def run(connection: psycopg.Connection, migrations: Sequence[Migration] = NODE, timeout: float = 10) -> MigrationState:
    return migrate(PostgresMigrations(connection), migrations, applied_by="bibd 0.1.0", lock_timeout=timeout)


def rows(connection: psycopg.Connection, query: bytes) -> list[tuple[Any, ...]]:
    found = connection.execute(query).fetchall()
    connection.rollback()
    return found


@pytest.mark.parametrize("autocommit", [True, False])
def test_first_run_applies_and_the_second_only_looks(connect: Connect, autocommit: bool) -> None:
    connection = connect()
    connection.autocommit = autocommit
    assert state(PostgresMigrations(connection), NODE) == MigrationState("pending", 0, 1)
    assert run(connection) == MigrationState("clean", 1, 0, (1,))
    assert run(connection) == MigrationState("clean", 1, 0)
    assert state(PostgresMigrations(connection), NODE) == MigrationState("clean", 1, 0)
    # Committed: another session sees it.
    found = rows(connect(), b"SELECT version, name, checksum, applied_by FROM bibd.schema_migrations")
    assert found == [(1, "node", NODE[0].checksum, "bibd 0.1.0")]


def test_the_second_run_costs_two_round_trips(connect: Connect) -> None:
    connection = connect()
    connection.autocommit = True
    run(connection)

    class Counting:
        queries = 0

        def execute(self, query: bytes, params: Sequence[Any] | None = None) -> Any:
            self.queries += 1
            return connection.execute(query, params)

        def transaction(self) -> Any:
            raise AssertionError("a transaction was begun")

        rollback = transaction

    session = Counting()
    migrate(PostgresMigrations(session), NODE, applied_by="x", lock_timeout=1)
    assert session.queries == 2


def test_eight_at_once_apply_each_migration_exactly_once(connect: Connect) -> None:
    connections = [connect() for _ in range(8)]
    together = threading.Barrier(8)
    results: list[MigrationState | BaseException] = []

    def node(connection: psycopg.Connection) -> None:
        try:
            together.wait(10)
            results.append(run(connection, (*NODE, SLOW)))
        except BaseException as error:
            results.append(error)

    threads = [threading.Thread(target=node, args=(connection,)) for connection in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.count(MigrationState("clean", 2, 0, (1, 2))) == 1
    assert results.count(MigrationState("clean", 2, 0)) == 7
    assert rows(connections[0], b"SELECT version FROM bibd.schema_migrations ORDER BY 1") == [(1,), (2,)]


@pytest.mark.parametrize("autocommit", [True, False])
def test_a_failing_script_changes_nothing(connect: Connect, autocommit: bool) -> None:
    connection = connect()
    connection.autocommit = autocommit
    broken = Migration(2, "broken", "CREATE TABLE public.half (x int); SELECT 1/0;", None, "sum")
    with pytest.raises(BibdError, match="migration 000002_broken failed: division by zero") as failed:
        run(connection, (*NODE, broken))
    assert "nothing was changed" in failed.value.hint
    other = connect()
    assert rows(other, b"SELECT to_regclass('public.half'), to_regclass('bibd.node')") == [(None, None)]
    # The session and the lock are free again.
    assert run(connection).applied_now == (1,)


def test_a_script_with_percent_signs_and_braces_runs_as_it_is(connect: Connect) -> None:
    odd = Migration(2, "odd", "CREATE TABLE public.odd AS SELECT '100 %s {x}' AS x;", None, "sum")
    connection = connect()
    run(connection, (*NODE, odd))
    assert rows(connection, b"SELECT x FROM public.odd") == [("100 %s {x}",)]


def test_a_held_lock_is_an_error_after_its_time(connect: Connect) -> None:
    holder, connection = connect(), connect()
    holder.execute("SELECT pg_advisory_lock(%s)", (LOCK_KEY,))
    with pytest.raises(BibdError, match="has held the lock for"):
        run(connection, timeout=0.1)
    holder.close()
    assert run(connection).applied_now == (1,)


def test_an_edited_builtin_and_a_newer_database_are_refused_and_unchanged(connect: Connect) -> None:
    connection = connect()
    run(connection, (*NODE, SLOW))
    with pytest.raises(BibdError, match="schema version 2, this bibd knows 1"):
        run(connection)
    with pytest.raises(IntegrityError, match="was changed after"):
        run(connection, (replace(NODE[0], checksum="0" * 64), SLOW))
    assert rows(connection, b"SELECT count(*) FROM bibd.schema_migrations") == [(2,)]


def test_a_lost_connection_is_an_error_of_ours(connect: Connect) -> None:
    connection = connect()
    suicide = Migration(2, "suicide", "SELECT pg_terminate_backend(pg_backend_pid());", None, "sum")
    with pytest.raises(BibdError, match="migration 000002_suicide failed"):
        run(connection, (*NODE, suicide))
    assert rows(connect(), b"SELECT to_regclass('bibd.node')") == [(None,)]


def test_down_undoes_up(connect: Connect) -> None:
    connection = connect()
    run(connection)
    assert NODE[0].down is not None
    connection.execute(NODE[0].down.encode())
    connection.commit()
    assert rows(connection, b"SELECT 1 FROM pg_namespace WHERE nspname = 'bibd'") == []
    assert run(connection).applied_now == (1,)


def test_each_start_of_the_node_is_remembered(connect: Connect) -> None:
    connection = connect()
    run(connection)
    backend = PostgresMigrations(connection)
    backend.record_start("n1", "0.1.0")
    first = rows(connect(), b"SELECT id, version, first_seen, last_start FROM bibd.node")
    backend.record_start("n1", "0.2.0")
    second = rows(connect(), b"SELECT id, version, first_seen, last_start FROM bibd.node")
    assert (first[0][:2], second[0][:2]) == (("n1", "0.1.0"), ("n1", "0.2.0"))
    assert first[0][2] == second[0][2]
    assert second[0][3] > first[0][3]
