"""One at a time: whoever migrates holds a lock that ends with its process."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, Protocol

from bibd.errors import BibdError
from bibd.migrations.backend import Cancelled

# The advisory lock's number: "bibdmigr" as a 64-bit integer, in the key space of the database. The built-in
# migrations and the user's take the same one.
LOCK_KEY = int.from_bytes(b"bibdmigr", "big")

# Seconds between two tries. They grow: fifty processes that wait for one long migration ask 100 times a second.
_FIRST_DELAY = 0.02
_LONGEST_DELAY = 0.5


class Lock(Protocol):
    def try_acquire(self) -> bool: ...
    def holder(self) -> str:
        """Who has it, for a person; "" when nobody has."""
        ...

    def release(self) -> None: ...


def acquire(
    lock: Lock,
    *,
    wait: Callable[[float], bool],
    waiting: Callable[[str], None],
    random: Random,
    timeout: float | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """Try until it works. ``wait`` sleeps so many seconds and answers True to give up: then Cancelled is raised.

    ``waiting`` is told of each new holder. Raises BibdError after ``timeout`` seconds.
    """
    deadline = None if timeout is None else monotonic() + timeout
    delay, told = _FIRST_DELAY, ""
    while not lock.try_acquire():
        holder = lock.holder()
        if holder and holder != told:
            waiting(holder)
            told = holder
        if deadline is not None and monotonic() >= deadline:
            raise BibdError(
                f"another migration has held the lock for {timeout:g} s: {holder or 'it has just ended'}",
                "wait until it has ended, or end it, then try again",
            )
        if wait(delay * random.uniform(0.5, 1.0)):
            raise Cancelled("nothing was changed")
        delay = min(delay * 1.5, _LONGEST_DELAY)


class Rows(Protocol):
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...


class Executor(Protocol):
    """The one method of ``psycopg.Connection`` that a lock needs."""

    def execute(self, query: bytes, params: Sequence[Any] | None = None) -> Rows: ...


class AdvisoryLock:
    """PostgreSQL: tried, never waited for, by a session in autocommit mode.

    A session that waits in pg_advisory_lock(), or between two tries in an open transaction, has a snapshot, for which
    the CREATE INDEX CONCURRENTLY of the one that holds the lock waits in turn: a deadlock that PostgreSQL sees only
    in the first case, and ends by failing one of the two.
    """

    def __init__(self, session: Executor) -> None:
        self._session = session

    def try_acquire(self) -> bool:
        (locked,) = self._session.execute(b"SELECT pg_catalog.pg_try_advisory_lock(%s)", (LOCK_KEY,)).fetchone()
        return bool(locked)

    def holder(self) -> str:
        # A bigint key is shown in halves, with objsubid 1 (PostgreSQL documentation, 53.13, pg_locks).
        row = self._session.execute(
            b"SELECT a.pid, a.application_name, a.backend_start::timestamptz(0)::text FROM pg_catalog.pg_locks l"
            b" JOIN pg_catalog.pg_stat_activity a USING (pid)"
            b" WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"
            b" AND l.classid = %s::bigint::oid AND l.objid = %s::bigint::oid"
            b" AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())"
            b" AND a.pid <> pg_catalog.pg_backend_pid()",
            (LOCK_KEY >> 32, LOCK_KEY & 0xFFFFFFFF),
        ).fetchone()
        return f"pid {row[0]} ({row[1] or 'no application_name'}), connected since {row[2] or '?'}" if row else ""

    def release(self) -> None:
        self._session.execute(b"SELECT pg_catalog.pg_advisory_unlock(%s)", (LOCK_KEY,))


class FileLock:
    """flock(2) on a file beside the database, which stays there: removing it would let two processes lock two files."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def try_acquire(self) -> bool:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        except BlockingIOError:
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def holder(self) -> str:
        if self._descriptor is not None:
            return ""
        with suppress(FileNotFoundError):
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                # Shared: two that only look do not see each other, and who wants the lock tries again.
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return f"pid {os.read(descriptor, 20).decode(errors='replace').strip() or '?'}"
            finally:
                os.close(descriptor)
        return ""

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
