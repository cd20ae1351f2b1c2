"""The ``Backend`` of SQLite: a connection in autocommit mode, and a lock file beside the database."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

from bibd.errors import BibdError
from bibd.migrations.adopt import find_in_sqlite
from bibd.migrations.backend import Change, Delete, Failure, Foreign, Row, StatementError, Update
from bibd.migrations.lock import FileLock, Lock, acquire
from bibd.migrations.plan import Applied
from bibd.migrations.script import Statement

# What a file may set for its own statements, and must not leave to the next user of the connection.
_PRAGMAS = ("foreign_keys", "legacy_alter_table", "recursive_triggers", "synchronous", "writable_schema")

# Between two looks at the interrupt while another one writes.
_POLL = 0.02

_NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"

# One row a migration. applied_at is null while a file runs statement by statement, and when it was cut off.
_TABLE = """
CREATE TABLE {table} (
    version       INTEGER PRIMARY KEY CHECK (version > 0),
    name          TEXT NOT NULL,
    checksum      TEXT NOT NULL, -- SHA-256 of the .up.sql file, hexadecimal
    down_checksum TEXT,
    transactional INTEGER NOT NULL,
    done          INTEGER NOT NULL, -- statements finished
    statements    INTEGER NOT NULL,
    step_hashes   TEXT NOT NULL, -- JSON: the SHA-256 of each statement, where they run one by one
    direction     TEXT NOT NULL CHECK (direction IN ('up', 'down')),
    applied_at    TEXT,
    applied_by    TEXT NOT NULL,
    failure       TEXT
)"""

_ROWS = """
SELECT version, name, checksum, down_checksum, applied_at IS NOT NULL, done, statements, transactional, step_hashes,
       direction, applied_at, applied_by, failure
FROM {table} ORDER BY version"""
_INSERT = "INSERT INTO {table} ({columns}) VALUES ({values})"
_UPDATE = "UPDATE {table} SET {pairs} WHERE version = ?"
_DELETE = "DELETE FROM {table} WHERE version = ?"

BUILTIN = "builtin_migrations"


class SqliteMigrations:
    """``table``: the state table's name without bibd's prefix. The connection is this thread's alone."""

    def __init__(self, connection: sqlite3.Connection, table: str, *, random: Random) -> None:
        self._connection = connection
        self._name = table
        self._table = _identifier(f"bibd_{table}")
        self._random = random
        self._interrupted = threading.Event()
        self._pragmas = {name: self._pragma(name) for name in _PRAGMAS}
        path = next(file for _, name, file in connection.execute("PRAGMA database_list") if name == "main")
        self._lock: Lock = FileLock(Path(f"{path}-migrating")) if path else _Private()
        self._lock_timeout = 5.0

    def rows(self) -> tuple[Row, ...]:
        if not self._exists():
            return ()
        found = self._connection.execute(_ROWS.format(table=f"main.{self._table}"))
        return tuple(_row(values) for values in found)

    def foreign(self) -> Foreign | None:
        return find_in_sqlite(self._connection, self._name)

    def holder(self) -> str:
        return self._lock.holder()

    @contextmanager
    def exclusive(
        self, cancel: threading.Event, waiting: Callable[[str], None], timeout: float | None = None
    ) -> Generator[None]:
        acquire(self._lock, wait=cancel.wait, waiting=waiting, random=self._random, timeout=timeout)
        try:
            self._interrupted.clear()
            if not self._exists():
                with self._transaction():
                    self._connection.execute(_TABLE.format(table=f"main.{self._table}"))
            yield
        finally:
            with suppress(sqlite3.Error):
                self._begin_session()
            self._lock.release()

    def transaction(
        self,
        statements: Sequence[Statement],
        changes: Sequence[Change],
        *,
        lock_timeout: float,
        durable: bool,
        running: Callable[[Statement], None],
    ) -> None:
        del durable  # every commit is: without its fsync a power cut could damage the file
        self.begin_file(lock_timeout)
        with self._transaction():
            for statement in statements:
                running(statement)
                self._execute(statement)
            self._write(changes)

    def begin_file(self, lock_timeout: float) -> None:
        self._begin_session()
        self._lock_timeout = lock_timeout

    def together(self, statement: Statement, changes: Sequence[Change]) -> None:
        with self._transaction():
            self._execute(statement)
            self._write(changes)

    def alone(self, statement: Statement) -> None:
        with self._busy_timeout(self._lock_timeout):
            self._execute(statement)

    def found_done(self, statement: Statement) -> bool:
        """SQLite has no statement that leaves a part of its work."""
        del statement
        return False

    def record(self, changes: Sequence[Change]) -> None:
        try:
            with self._transaction():
                self._write(changes)
        except StatementError as error:
            raise BibdError(
                f"{self._table} could not be written: {error}", "look at the disk, then try again"
            ) from error

    def interrupt(self) -> None:
        self._interrupted.set()
        self._connection.interrupt()

    def record_start(self, node: str, version: str) -> None:
        """Remember that ``node`` started with this ``version`` of bibd. Only where the built-in schema is."""
        self._connection.execute(
            "INSERT INTO bibd_node (id, version) VALUES (?, ?) ON CONFLICT (id) DO UPDATE"
            " SET version = excluded.version, last_start = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
            (node, version),
        )

    @contextmanager
    def _transaction(self) -> Generator[None]:
        self._interrupted.clear()
        self._begin()
        try:
            yield
            # Readers of a database without a write-ahead log hold it up.
            with self._busy_timeout(self._lock_timeout):
                self._run("COMMIT", None)
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _begin(self) -> None:
        # IMMEDIATE: the lock is taken now, not at the first write, when a reader could no longer wait for it. We wait
        # ourselves: an interrupt does not end the library's own waiting.
        deadline = time.monotonic() + self._lock_timeout
        while True:
            try:
                with self._busy_timeout(0.0):
                    self._run("BEGIN IMMEDIATE", None)
            except StatementError as error:
                if not error.failure.retry or time.monotonic() >= deadline or self._interrupted.wait(_POLL):
                    raise
            else:
                return

    @contextmanager
    def _busy_timeout(self, seconds: float) -> Generator[None]:
        before = self._pragma("busy_timeout")
        self._connection.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")
        try:
            yield
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {before}")

    def _execute(self, statement: Statement) -> None:
        self._run(statement.text, statement)

    def _write(self, changes: Sequence[Change]) -> None:
        for change in changes:
            try:
                self._connection.execute(*_change(f"main.{self._table}", change))
            except sqlite3.Error as error:
                raise StatementError(None, _failure(error)) from error

    def _run(self, sql: str, statement: Statement | None) -> None:
        try:
            # To its last row: an open query would hold up the commit.
            self._connection.execute(sql).fetchall()
        except sqlite3.Error as error:
            raise StatementError(statement, _failure(error)) from error

    def _begin_session(self) -> None:
        """As it was when it was opened, but for what was prepared."""
        for name, value in self._pragmas.items():
            if self._pragma(name) != value:
                self._connection.execute(f"PRAGMA {name} = {value}")
        for _, name, _ in self._connection.execute("PRAGMA database_list").fetchall():
            if name not in {"main", "temp"}:
                self._connection.execute(f"DETACH {_identifier(name)}")
        # Tables before views of them: their indexes and triggers go with them.
        for kind, name in self._connection.execute(
            "SELECT type, name FROM temp.sqlite_schema WHERE type IN ('table', 'view', 'trigger')"
            " AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY type DESC"
        ).fetchall():
            self._connection.execute(f"DROP {kind} IF EXISTS temp.{_identifier(name)}")

    def _pragma(self, name: str) -> int:
        return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])

    def _exists(self) -> bool:
        return bool(self._connection.execute(f"PRAGMA main.table_info({self._table})").fetchall())


class _Private:
    """The lock of a database in memory: nobody else is there."""

    def try_acquire(self) -> bool:
        return True

    def holder(self) -> str:
        return ""

    def release(self) -> None:
        pass


def _row(values: Sequence[Any]) -> Row:
    version, name, checksum, down, applied, done, total, whole, hashes, direction, at, by, failure = values
    steps = tuple(json.loads(hashes))
    entry = Applied(version, name, checksum, down, bool(applied), done, total, bool(whole), steps, direction)
    return Row(entry, datetime.fromisoformat(at) if at else None, by, failure)


def _change(table: str, change: Change) -> tuple[str, Sequence[Any]]:
    if isinstance(change, Delete):
        return _DELETE.format(table=table), (change.version,)
    entry = change.entry
    values: dict[str, Any] = {
        "name": entry.name,
        "checksum": entry.checksum,
        "down_checksum": entry.down_checksum,
        "transactional": entry.transactional,
        "done": entry.done,
        "statements": entry.statements,
        "step_hashes": json.dumps(entry.step_hashes),
        "direction": entry.direction,
    }
    now = _NOW if entry.applied else "NULL"
    if isinstance(change, Update):
        values["failure"] = change.failure
        pairs = ", ".join(f"{name} = ?" for name in values)
        return _UPDATE.format(table=table, pairs=f"{pairs}, applied_at = {now}"), (*values.values(), entry.version)
    values |= {"version": entry.version, "applied_by": change.applied_by}
    marks = ", ".join("?" for _ in values)
    sql = _INSERT.format(table=table, columns=f"{', '.join(values)}, applied_at", values=f"{marks}, {now}")
    return sql, tuple(values.values())


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _failure(error: sqlite3.Error) -> Failure:
    code = getattr(error, "sqlite_errorname", "")
    return Failure(str(error), retry=code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")))
