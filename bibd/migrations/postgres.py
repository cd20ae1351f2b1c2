"""The version table ``bibd.schema_migrations`` of PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from bibd.errors import BibdError
from bibd.migrations.plan import Applied
from bibd.migrations.source import Migration

# The advisory lock's number: "bibdmigr" as a 64-bit integer, one of its own in the key space of the database.
LOCK_KEY = int.from_bytes(b"bibdmigr", "big")

_POLL_SECONDS = 0.05


class Rows(Protocol):
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...


class Session(Protocol):
    """What is needed of ``psycopg.Connection`` (tuple rows), in autocommit mode or not."""

    def execute(self, query: bytes, params: Sequence[Any] | None = None) -> Rows: ...
    def transaction(self) -> AbstractContextManager[Any]: ...
    def rollback(self) -> None: ...


class PostgresMigrations:
    """The ``Backend`` of a direct session (not one through a pooler that shares sessions)."""

    def __init__(self, session: Session, sleep: Callable[[float], None] = time.sleep) -> None:
        self._session = session
        self._sleep = sleep

    def applied(self) -> tuple[Applied, ...]:
        # Asking first costs one more round trip (0.1 ms) than trying; but trying would write an ERROR into the
        # server's log and end the transaction.
        (table,) = self._session.execute(b"SELECT to_regclass('bibd.schema_migrations')").fetchone()
        if table is None:
            return ()
        rows = self._session.execute(b"SELECT version, name, checksum FROM bibd.schema_migrations").fetchall()
        return tuple(Applied(*row) for row in rows)

    @contextmanager
    def exclusive(self, timeout: float) -> Generator[None, None, None]:
        # Ends the transaction that a session without autocommit has begun by reading: transaction() below
        # would else be a savepoint in it.
        self._session.rollback()
        deadline = time.monotonic() + timeout
        while True:
            with self._session.transaction():
                # The lock ends with the transaction, also when this process is killed. Polled: a waiting
                # pg_advisory_xact_lock() would hold a snapshot, on which CREATE INDEX CONCURRENTLY of the one
                # who holds the lock would wait for ever.
                (locked,) = self._session.execute(b"SELECT pg_try_advisory_xact_lock(%s)", (LOCK_KEY,)).fetchone()
                if locked:
                    yield
                    return
            if time.monotonic() >= deadline:
                raise BibdError(
                    f"another migration has held the lock for {timeout:g} s",
                    "wait for it, or find it: SELECT * FROM pg_locks WHERE locktype = 'advisory'",
                )
            self._sleep(_POLL_SECONDS)

    def apply(self, migration: Migration, applied_by: str) -> None:
        # Without parameters psycopg uses the simple protocol, which takes many statements.
        self._session.execute(migration.up.encode())
        self._session.execute(
            b"INSERT INTO bibd.schema_migrations (version, name, checksum, applied_by) VALUES (%s, %s, %s, %s)",
            (migration.version, migration.name, migration.checksum, applied_by),
        )

    def record_start(self, node: str, version: str) -> None:
        """Remember that ``node`` started with this ``version`` of bibd."""
        with self._session.transaction():
            self._session.execute(
                b"INSERT INTO bibd.node AS n (id, version) VALUES (%s, %s)"
                b" ON CONFLICT (id) DO UPDATE SET version = excluded.version, last_start = clock_timestamp()",
                (node, version),
            )
