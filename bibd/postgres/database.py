"""The daemon's own few connections. Everything ends within the timeout given, also on a server that hangs."""

from __future__ import annotations

import math
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Generator
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
    def connection(self, timeout: float) -> Generator[Session]:
        """A connection in autocommit mode. ``timeout``: seconds for the whole block, getting one included.

        Raises DatabaseError when the server does not answer in time (at most 0.2 s later), psycopg.Error for
        what a statement does wrong.
        """
        import psycopg

        deadline = self._monotonic() + timeout
        pool = self._opened()
        session = self._usable(pool, deadline, timeout)
        try:
            with self._within(session, deadline, timeout):
                yield session
        finally:
            with suppress(psycopg.Error):
                pool.putconn(session)

    def _usable(self, pool: Pool, deadline: float, timeout: float) -> Session:
        """A connection that answers. The pool's own check would wait for ever for a backend that hangs."""
        import psycopg

        while True:
            session = self._take(pool, deadline)
            try:
                with self._within(session, deadline, timeout):
                    milliseconds = max(1, math.ceil((deadline - self._monotonic()) * 1000))
                    session.execute("SELECT set_config('statement_timeout', %s, false)", (str(milliseconds),))
            except BaseException as error:
                broken = session.closed
                pool.putconn(session)
                # One that died with its server, while it lay here: the pool makes another.
                if broken and isinstance(error.__cause__, psycopg.OperationalError) and self._monotonic() < deadline:
                    continue
                raise
            else:
                return session

    @contextmanager
    def _within(self, session: Session, deadline: float, timeout: float) -> Generator[None]:
        """Turn what a dead, hung or slow server does into a DatabaseError, by ``deadline``."""
        import psycopg

        with _cut_off(session, max(0.0, deadline - self._monotonic()) + _GRACE) as cut:
            try:
                yield
            except psycopg.Error as error:
                if cut.is_set() or isinstance(error, psycopg.errors.QueryCanceled):
                    raise DatabaseError(f"no answer within {timeout:g} s", "look at the server's log") from error
                if session.closed:
                    raise DatabaseError(_words(error), "look at the server's log") from error
                raise

    def login(self, timeout: float) -> str:
        """Log in beside the pool, as a new client would: "" or the reason why that fails, in the server's words.

        libpq's own connect_timeout is at least 2 s, and PQping holds the interpreter's lock while it waits, so
        this polls (PostgreSQL documentation, 34.1, PQconnectPoll).
        """
        from psycopg.pq import ConnStatus, PGconn, PollingStatus

        deadline = self._monotonic() + timeout
        attempt = PGconn.connect_start(_conninfo({**self.endpoint.parameters(), "application_name": "bibd"}))
        try:
            wanted: int = PollingStatus.WRITING
            while attempt.status != ConnStatus.BAD:
                left = deadline - self._monotonic()
                if left <= 0 or not _ready(attempt.socket, wanted == PollingStatus.READING, left):
                    return f"no answer within {timeout:g} s"
                wanted = attempt.connect_poll()
                if wanted == PollingStatus.OK:
                    return ""
            return attempt.get_error_message().strip().partition("\n")[0]
        finally:
            attempt.finish()

    def checkpoint(self, timeout: float) -> None:
        """Needs the superuser, or the role pg_checkpoint. Raises DatabaseError, also when it fails (disk full)."""
        import psycopg

        try:
            with self.connection(timeout) as session:
                session.execute("CHECKPOINT")
        except psycopg.Error as error:
            raise DatabaseError(_words(error), "look at the server's log") from error

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
        from psycopg_pool import ConnectionPool

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
                    num_workers=1,
                    open=False,
                    name="bibd",
                )
                pool.open(wait=False)
                self._pool = pool
            return self._pool

    def _take(self, pool: Pool, deadline: float) -> Session:
        from psycopg_pool import PoolClosed, PoolTimeout

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
def direct(endpoint: Endpoint, *, application_name: str) -> Generator[Session]:
    """A session of one's own in autocommit mode, for as long as it takes. Raises DatabaseError when there is none."""
    import psycopg

    try:
        session: Session = psycopg.connect(
            **endpoint.parameters(),  # type: ignore[arg-type]  # its parameters are of many types
            autocommit=True,
            application_name=application_name,
            connect_timeout=5,
        )
    except psycopg.Error as error:
        raise DatabaseError(_words(error), "look at the server's log") from None
    with session:
        yield session


@contextmanager
def _cut_off(session: Session, seconds: float) -> Generator[threading.Event]:
    """Shut the socket down after ``seconds``: libpq waits for ever for a server that hangs."""
    fired = threading.Event()

    def cut() -> None:
        fired.set()
        with suppress(Exception):  # closed meanwhile
            duplicate = socket.socket(fileno=os.dup(session.pgconn.socket))
            with duplicate:
                duplicate.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield fired
    finally:
        timer.cancel()
        timer.join()


def _ready(descriptor: int, reading: bool, seconds: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN if reading else select.POLLOUT)
    return bool(poll.poll(seconds * 1000))


def _conninfo(parameters: dict[str, str | int]) -> bytes:
    from psycopg.conninfo import make_conninfo

    return make_conninfo("", **parameters).encode()


def _words(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
