"""The daemon's connections: every answer within its time, from dead, hung and restarted servers too."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from bibd.postgres.database import Database, DatabaseError
from bibd.postgres.probe import probe
from bibd.postgres.server import EmbeddedServer
from bibd.postgres.spec import ServerSpec
from tests.postgres.scenario import query, server_of, start, until


@pytest.fixture
def server(prepared: ServerSpec) -> EmbeddedServer:
    server = server_of(prepared)
    start(server)
    return server


@pytest.fixture
def database(server: EmbeddedServer) -> Iterator[Database]:
    database = Database(server.app())
    yield database
    database.close(5)


@contextmanager
def takes_at_most(seconds: float) -> Generator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began <= seconds


@contextmanager
def frozen(pid: int) -> Generator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_connection_is_named_and_limited(database: Database) -> None:
    with database.connection(5) as session:
        row = session.execute(
            "SELECT current_setting('application_name'),"
            " extract(epoch FROM current_setting('statement_timeout')::interval)"
        ).fetchone()
    assert row is not None
    assert row[0] == "bibd"
    assert 0 < row[1] <= 5


def test_slow_statement_ends_within_the_timeout_and_the_connection_stays_usable(database: Database) -> None:
    with takes_at_most(2), pytest.raises(DatabaseError, match="no answer within"), database.connection(0.3) as session:
        session.execute("SELECT pg_sleep(30)")
    with database.connection(5) as session:
        assert session.execute("SELECT 1").fetchone() == (1,)


def test_wrong_statement_is_the_callers_error(database: Database) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable), database.connection(5) as session:
        session.execute("SELECT * FROM nowhere")


def test_hung_backend_is_given_up_within_the_timeout(database: Database) -> None:
    with (
        takes_at_most(3),
        pytest.raises(DatabaseError),
        database.connection(0.5) as session,
        frozen(session.info.backend_pid),  # this one, and not another of the pool
    ):
        session.execute("SELECT 1")


def test_hung_server_is_given_up_within_the_timeout(server: EmbeddedServer, database: Database) -> None:
    pid = _pid(server)
    with frozen(pid), takes_at_most(1):
        assert database.login(0.4) == "no answer within 0.4 s"
    with frozen(pid):
        result = probe(Database(server.app()), server.alive, 0.5)
        assert result.detail.startswith("connections: no answer within")


def test_dead_server_is_an_error_at_once_and_its_successor_is_found(server: EmbeddedServer, database: Database) -> None:
    with database.connection(5) as session:
        session.execute("SELECT 1")
    os.kill(_pid(server), signal.SIGKILL)
    until(lambda: not server.alive(), "the postmaster is gone")
    with takes_at_most(3), pytest.raises(DatabaseError), database.connection(0.5) as session:
        session.execute("SELECT 1")
    start(server)
    with takes_at_most(3), database.connection(3) as session:
        assert session.execute("SELECT 1").fetchone() == (1,)


def test_errors_do_not_hold_the_password(server: EmbeddedServer, database: Database) -> None:
    with database.connection(5):
        pass
    server.stop(30)
    with pytest.raises(DatabaseError) as caught, database.connection(0.3):
        pass
    shown = f"{caught.value} {caught.value.__cause__} {database.login(1)} {database.endpoint!r}"
    assert database.endpoint.password not in shown


def test_closed_database_says_so_and_closing_twice_is_nothing(database: Database) -> None:
    database.close(5)
    database.close(5)
    with pytest.raises(DatabaseError, match="closed"), database.connection(1):
        pass


def test_checkpoint_and_transactions_in_flight(server: EmbeddedServer) -> None:
    database = Database(server.admin())
    try:
        database.checkpoint(10)
        before = database.active_transactions()
        with psycopg.connect(server.app().url()) as session:
            session.execute("SELECT 1")  # no autocommit: the transaction stays open
            assert database.active_transactions() == before + 1
    finally:
        database.close(5)


def test_probe_of_a_healthy_server_answers_all_four_in_order(server: EmbeddedServer, database: Database) -> None:
    result = probe(database, server.alive, 5)
    assert [check.name for check in result.checks] == ["process", "connections", "database", "query"]
    assert result.ok
    assert result.detail == ""


def test_probe_names_a_missing_process(database: Database) -> None:
    result = probe(database, lambda: False, 5)
    assert result.detail == "process: the server process is not running"
    assert len(result.checks) == 1


def test_probe_names_refused_connections(server: EmbeddedServer, database: Database) -> None:
    server.stop(30)
    result = probe(database, lambda: True, 5)
    assert result.detail.startswith("connections: ")
    assert "Connection refused" in result.detail


def test_probe_names_a_missing_database(server: EmbeddedServer, database: Database) -> None:
    query(server.admin(), "DROP DATABASE bibd WITH (FORCE)")
    result = probe(database, server.alive, 5)
    assert [check.ok for check in result.checks] == [True, True, False]
    assert 'database "bibd" does not exist' in result.detail


def test_probe_names_a_query_that_fails(server: EmbeddedServer) -> None:
    closed = Database(server.app())
    closed.close(1)
    result = probe(closed, server.alive, 5)
    assert result.detail.startswith("query: ")


def test_probe_survives_anything(database: Database) -> None:
    def explode() -> bool:
        raise OSError("/proc is not mounted")

    assert probe(database, explode, 1).detail == "process: /proc is not mounted"


def _pid(server: EmbeddedServer) -> int:
    rows = query(server.admin(), "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int")
    return int(rows[0][0])
