"""Processes that migrate, and die where they are told to."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Literal

import psycopg

from bibd.migrations.source import read
from bibd.postgres.endpoint import Endpoint
from tests.migrations.scenario import connect, migrator, run, sqlite_migrator

Moment = Literal["before", "during", "after"]


@dataclass
class Deadly:
    """A session that kills its process at one of the requests it sends. ``at`` counts from 0; -1: never."""

    connection: psycopg.Connection
    at: int
    moment: Moment
    count: int = 0

    def execute(self, query: bytes, params: Sequence[Any] | None = None, *, prepare: bool | None = None) -> Any:
        mine, self.count = self.count == self.at, self.count + 1
        if mine and self.moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        if mine and self.moment == "during" and params is None:
            # All of it is on its way: the server will run it, and nobody hears how that ended.
            self.connection.pgconn.send_query(query)
            os.kill(os.getpid(), signal.SIGKILL)
        found = self.connection.execute(query, params, prepare=prepare)
        if mine:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    def cancel_safe(self, *, timeout: float = 30.0) -> None:
        self.connection.cancel_safe(timeout=timeout)


def migrate_and_die(endpoint: Endpoint, directory: Path, at: int, moment: Moment) -> None:
    with connect(endpoint, "bibd migrate") as connection:
        run(migrator(Deadly(connection, at, moment), read(directory)))


def migrate_together(endpoint: Endpoint, directory: Path, together: Any) -> None:
    with connect(endpoint, "bibd migrate") as connection:
        found = migrator(connection, read(directory))
        together.wait(60)
        outcome = run(found)
    assert (outcome.state, outcome.pending) == ("clean", 0)


class DeadlySqlite(sqlite3.Connection):
    """A connection that kills its process at one of the statements it runs."""

    at = -1
    moment: Moment = "before"
    count = 0

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        mine, self.count = self.count == self.at, self.count + 1
        if mine and self.moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        found = super().execute(sql, parameters)
        if mine:
            found.fetchall()
            os.kill(os.getpid(), signal.SIGKILL)
        return found


def sqlite_connection(path: Path, factory: type[sqlite3.Connection] = sqlite3.Connection) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, timeout=5, factory=factory)


def migrate_sqlite_and_die(path: Path, directory: Path, at: int, moment: Moment) -> None:
    connection = sqlite_connection(path, DeadlySqlite)
    assert isinstance(connection, DeadlySqlite)
    connection.at, connection.moment = at, moment
    run(sqlite_migrator(connection, read(directory)))


def migrate_sqlite_together(path: Path, directory: Path, together: Any) -> None:
    with closing(sqlite_connection(path)) as connection:
        together.wait(60)
        outcome = run(sqlite_migrator(connection, read(directory)))
    assert (outcome.state, outcome.pending) == ("clean", 0)


_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__, "bibd.migrations.postgres_script", "pglast"])


def barrier(parties: int) -> Any:
    return _context.Barrier(parties)


def start(function: Any, *arguments: Any) -> ForkServerProcess:
    """``function`` in a process of its own, which is made in milliseconds: its modules are loaded already."""
    process = _context.Process(target=function, args=arguments)
    process.start()
    return process


def exit_code(process: ForkServerProcess, timeout: float = 60) -> int:
    process.join(timeout)
    code = process.exitcode
    if code is None:
        process.kill()
        process.join()
    process.close()
    assert code is not None, f"a process ran for more than {timeout:g} s"
    return code
