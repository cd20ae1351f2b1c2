"""The daemon's own few connections. Everything ends within the timeout given, also on a server that hangs."""

from __future__ import annotations

import math
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from bibd.errors import BibdError
from bibd.postgres.endpoint import Endpoint

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import TupleRow
    from psycopg_pool import ConnectionPool

    Session = Connection[TupleRow]
    Pool = ConnectionPool[Session]

MIN_SIZE = 1
MAX_SIZE = 3

# The server's own statement_timeout comes first and leaves a usable connection; this is for one that hangs.
_GRACE = 0.2


class DatabaseError(BibdError):
    """The database did not answer; the message is the server's, and holds no password."""


class Database:
    """A lazily opened pool. Safe to use from several threads; after a restart of the server it reconnects."""

    def __init__(self, endpoint: Endpoint, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.endpoint = endpoint
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._pool: Pool | None = None
        self._closed = False

    @contextmanager
    def connection(self, timeout: float) -> Iterator[Session]:
        """A connection in autocommit mode. ``timeout``: seconds for the whole block, getting one included.

        Raises DatabaseError when the server does not answer in time (at most 0.2 s later), psycopg.Error for
        what a statement does wrong.
        """
        import psycopg  # noqa: PLC0415 -- 0.1 s, not for those who only import this module

        deadline = self._monotonic() + timeout
        pool = self._opened()
        session = self._take(pool, deadline)
        try:
            with _cut_off(session, max(0.0, deadline - self._monotonic()) + _GRACE) as cut:
                try:
                    milliseconds = max(1, math.ceil((deadline - self._monotonic()) * 1000))
                    session.execute("SELECT set_config('statement_timeout', %s, false)", (str(milliseconds),))
                    yield session
                except psycopg.Error as error:
                    if cut.is_set() or isinstance(error, psycopg.errors.QueryCanceled):
                        raise DatabaseError(f"no answer within {timeout:g} s", "look at the server's log") from error
                    if session.closed:
                        raise DatabaseError(_words(error), "look at the server's log") from error
                    raise
        finally:
            with suppress(psycopg.Error):
                pool.putconn(session)

    def accepts(self, timeout: float) -> str:
        """ "" when new connections are accepted, else what the server does instead. Without logging in."""
        from psycopg.pq import PGconn, Ping  # noqa: PLC0415

        parameters = {**self.endpoint.parameters(), "connect_timeout": max(2, math.ceil(timeout))}
        del parameters["password"]
        answer = PGconn.ping(_conninfo(parameters))
        where = f"{self.endpoint.host}:{self.endpoint.port}"
        if answer == Ping.OK:
            return ""
        if answer == Ping.REJECT:
            return f"the server on {where} starts, recovers or stops"
        return f"nobody answers on {where}"

    def checkpoint(self, timeout: float) -> None:
        """Needs the superuser, or the role pg_checkpoint."""
        with self.connection(timeout) as session:
            session.execute("CHECKPOINT")

    def active_transactions(self, timeout: float = 5.0) -> int:
        """Transactions of other sessions that have something to lose. The owner sees its own, the superuser all."""
        with self.connection(timeout) as session:
            row = session.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
                " AND pid <> pg_backend_pid() AND state <> 'idle'"
            ).fetchone()
        return int(row[0]) if row else 0

    def close(self, timeout: float) -> None:
        """Idempotent. Connections that are in use are closed when they come back."""
        with self._lock:
            pool, self._pool, self._closed = self._pool, None, True
        if pool is not None:
            pool.close(timeout)

    def _opened(self) -> Pool:
        from psycopg_pool import ConnectionPool  # noqa: PLC0415

        with self._lock:
            if self._closed:
                raise DatabaseError("the connections to the database are closed", "bibd is stopping")
            if self._pool is None:
                pool: Pool = ConnectionPool(
                    kwargs={
                        **self.endpoint.parameters(),
                        "application_name": "bibd",
                        "autocommit": True,
                        "connect_timeout": 5,
                    },
                    min_size=MIN_SIZE,
                    max_size=MAX_SIZE,
                    check=ConnectionPool.check_connection,
                    num_workers=1,
                    open=False,
                    name="bibd",
                )
                pool.open(wait=False)
                self._pool = pool
            return self._pool

    def _take(self, pool: Pool, deadline: float) -> Session:
        from psycopg_pool import PoolClosed, PoolTimeout  # noqa: PLC0415

        try:
            return pool.getconn(timeout=max(0.001, deadline - self._monotonic()))
        except PoolClosed:
            raise DatabaseError("the connections to the database are closed", "bibd is stopping") from None
        except PoolTimeout:
            # The pool would try again after 1, 2, 4 … seconds, up to minutes after the server is back.
            self._forget(pool)
            raise DatabaseError("no connection within the timeout", "look at the server's log") from None

    def _forget(self, pool: Pool) -> None:
        with self._lock:
            if self._pool is pool:
                self._pool = None
        pool.close(0)


@contextmanager
def _cut_off(session: Session, seconds: float) -> Iterator[threading.Event]:
    """Shut the socket down after ``seconds``: libpq waits for ever for a server that hangs."""
    fired = threading.Event()

    def cut() -> None:
        fired.set()
        with suppress(OSError, Exception):
            with socket.socket(fileno=os.dup(session.pgconn.socket)) as duplicate:
                duplicate.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield fired
    finally:
        timer.cancel()
        timer.join()


def _conninfo(parameters: dict[str, str | int]) -> bytes:
    from psycopg.conninfo import make_conninfo  # noqa: PLC0415

    return make_conninfo("", **parameters).encode()


def _words(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
