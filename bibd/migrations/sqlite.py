"""The version table ``bibd_schema_migrations`` of SQLite (which has no schemas)."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager

from bibd.errors import BibdError
from bibd.migrations.plan import Applied
from bibd.migrations.source import Migration


class SqliteMigrations:
    """The ``Backend`` of a connection in autocommit mode (``SqliteFile.connection``)."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def applied(self) -> tuple[Applied, ...]:
        table = self._connection.execute(
            "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'bibd_schema_migrations'"
        ).fetchone()
        if table is None:
            return ()
        rows = self._connection.execute("SELECT version, name, checksum FROM bibd_schema_migrations")
        return tuple(Applied(*row) for row in rows)

    @contextmanager
    def exclusive(self, timeout: float) -> Generator[None, None, None]:
        # IMMEDIATE: the lock is taken now, not at the first write, when a reader could no longer wait for it.
        (before,) = self._connection.execute("PRAGMA busy_timeout").fetchone()
        self._connection.execute(f"PRAGMA busy_timeout={int(timeout * 1000)}")
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise BibdError(
                f"the SQLite database stayed locked for {timeout:g} s: {error}",
                "close the program that writes to it",
            ) from error
        finally:
            self._connection.execute(f"PRAGMA busy_timeout={before}")
        try:
            yield
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def apply(self, migration: Migration, applied_by: str) -> None:
        # Not executescript(): it commits the transaction first.
        for statement in statements(migration.up):
            self._connection.execute(statement)
        self._connection.execute(
            "INSERT INTO bibd_schema_migrations (version, name, checksum, applied_by) VALUES (?, ?, ?, ?)",
            (migration.version, migration.name, migration.checksum, applied_by),
        )

    def record_start(self, node: str, version: str) -> None:
        """Remember that ``node`` started with this ``version`` of bibd."""
        self._connection.execute(
            "INSERT INTO bibd_node (id, version) VALUES (?, ?) ON CONFLICT (id) DO UPDATE"
            " SET version = excluded.version, last_start = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
            (node, version),
        )


def statements(script: str) -> list[str]:
    """``script`` cut at the semicolons that end a statement, by SQLite's own judgement (strings, triggers)."""
    found: list[str] = []
    start = 0
    for end, character in enumerate(script, start=1):
        if character == ";" and sqlite3.complete_statement(script[start:end]):
            found.append(script[start:end])
            start = end
    # What follows the last one: a statement without its semicolon, or comments, which SQLite takes as nothing.
    return [*found, script[start:]] if script[start:].strip() else found
