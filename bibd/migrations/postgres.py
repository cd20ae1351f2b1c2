"""The ``Backend`` of PostgreSQL: one direct session, and a state table in a schema of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Protocol

from bibd.errors import BibdError
from bibd.migrations.adopt import find_in_postgres
from bibd.migrations.backend import Change, Failure, Foreign, Row, StatementError
from bibd.migrations.lock import AdvisoryLock, Rows, acquire
from bibd.migrations.postgres_state import CREATE, SELECT, StateTable, identifier, render, row
from bibd.migrations.script import Script, Statement

# lock_not_available, deadlock_detected, serialization_failure (PostgreSQL documentation, appendix A).
_RETRY = frozenset({"55P03", "40P01", "40001"})
_LOCK_NOT_AVAILABLE = "55P03"

# What a second run of a statement that needs to be outside of a transaction says when the first one took effect:
# duplicate_table, _object, _database; undefined_table (also: not a partition of it any more), _object,
# invalid_catalog_name.
_EXISTS = frozenset({"42P07", "42710", "42P04"})
_IS_GONE = frozenset({"42P01", "42704", "3D000"})

_CANCEL_TIMEOUT = 5.0

# Each file finds the session as it was opened, whatever the one before has set: a set that went up in one run is as
# one that went up file by file. A dump by pg_dump, for one, empties the search path.
_PRISTINE = "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; DISCARD TEMP; SET {local}statement_timeout = 0; "

_LOOK = "look at the server's log, then try again"


class Session(Protocol):
    """What is needed of ``psycopg.Connection``: tuple rows, autocommit, UTF-8, not through a pooler."""

    def execute(self, query: bytes, params: Sequence[Any] | None = None, *, prepare: bool | None = None) -> Rows: ...
    def cancel_safe(self, *, timeout: float = ...) -> None: ...


BUILTIN = StateTable("bibd", "builtin_migrations")


def user_table(name: str) -> StateTable:
    """The table of the user's own migrations.

    Not in the schema ``bibd``: the role that runs them has the same name, so with PostgreSQL's default search path,
    ``"$user", public``, all its tables would come to lie in there once it may use that schema.
    """
    return StateTable("bibd_migrations", name)


class PostgresMigrations:
    """The session must be in autocommit mode: a transaction between two statements of ours would hold a snapshot."""

    def __init__(self, session: Session, table: StateTable, *, random: Random) -> None:
        self._session = session
        self._table = table
        self._random = random
        self._lock = AdvisoryLock(session)
        self._lock_timeout = 0

    def rows(self) -> tuple[Row, ...]:
        # Asking first costs one more round trip (0.1 ms) than trying; but trying would write an ERROR into the
        # server's log.
        ((table,),) = self._ask(b"SELECT to_regclass(%s)", (str(self._table),))
        if table is None:
            return ()
        found = self._ask(SELECT.format(table=self._table).encode())
        return tuple(row(values) for values in found)

    def foreign(self) -> Foreign | None:
        with _answered():
            return find_in_postgres(self._session, self._table.name)

    def holder(self) -> str:
        with _answered():
            return self._lock.holder()

    @contextmanager
    def exclusive(
        self, cancel: threading.Event, waiting: Callable[[str], None], timeout: float | None = None
    ) -> Generator[None]:
        with _answered():
            acquire(self._lock, wait=cancel.wait, waiting=waiting, random=self._random, timeout=timeout)
        try:
            self._make_table()
            yield
        finally:
            # When the session is gone, so is the lock; and its user has been told of that, or will be.
            with suppress(BibdError):
                self._tell(_PRISTINE.format(local=""))
            with suppress(Exception):
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
        head = f"BEGIN; {_PRISTINE.format(local='LOCAL ')}SET LOCAL lock_timeout = {_milliseconds(lock_timeout)}; "
        if not durable:
            # Only a crash of the machine or the server can lose it, and then all that came later too: WAL is
            # written in order. The last of a run waits for the disk for all of them (PostgreSQL documentation,
            # 28.4, Asynchronous Commit).
            head += "SET LOCAL synchronous_commit = off; "
        with self._all_or_nothing():
            for statement in statements[:-1]:
                running(statement)
                self._send(head, statement, "")
                head = ""
            last = statements[-1] if statements else None
            if last is not None:
                running(last)
            # One round trip for all of a file of one statement.
            self._send(head, last, f"; {render(self._table, changes)}; COMMIT")

    def begin_file(self, lock_timeout: float) -> None:
        self._lock_timeout = _milliseconds(lock_timeout)
        self._tell(f"{_PRISTINE.format(local='')}SET lock_timeout = {self._lock_timeout}")

    def together(self, statement: Statement, changes: Sequence[Change]) -> None:
        with self._all_or_nothing():
            self._send("BEGIN; ", statement, f"; {render(self._table, changes)}; COMMIT")

    def alone(self, statement: Statement) -> None:
        if "CONCURRENTLY" not in statement.text.upper():
            self._send("", statement, "")
            return
        with self._unhurried():
            self._send("", statement, "")
        if (
            statement.object is not None
            and statement.kind.startswith("CREATE")
            and not self._index(statement.object).valid
        ):
            # IF NOT EXISTS takes it for what it is to make.
            raise StatementError(
                statement,
                Failure(
                    f"index {statement.object} exists already, but is INVALID",
                    f"somebody else builds it, or was interrupted: DROP INDEX CONCURRENTLY {statement.object}",
                ),
            )

    def found_done(self, statement: Statement) -> bool:
        """Judged by the index that CONCURRENTLY makes or drops: it is complete when it is valid, or not there.

        An invalid one that is to be made is dropped, unless its table is locked as by one who builds it just now.
        """
        if statement.kind.startswith("REINDEX"):
            self._drop_reindex_leftovers(statement)
        if statement.object is None:
            return False
        index = self._index(statement.object)
        if not statement.kind.startswith("CREATE"):
            return not index.name
        if index.name and not index.valid and not index.busy:
            with self._unhurried():
                self._send("", replace(statement, text=f"DROP INDEX CONCURRENTLY {index.name}"), "")
        return index.valid

    def record(self, changes: Sequence[Change]) -> None:
        try:
            with self._all_or_nothing():
                # A session whose file has set something else must wait for the disk here too.
                self._send(
                    "BEGIN; SET LOCAL synchronous_commit = on; ", None, f"{render(self._table, changes)}; COMMIT"
                )
        except StatementError as error:
            raise BibdError(f"{self._table} could not be written: {error}", _LOOK) from error

    def interrupt(self) -> None:
        # Returns when the server has sent its process the signal: it cannot hit what we send from then on.
        with suppress(Exception):
            self._session.cancel_safe(timeout=_CANCEL_TIMEOUT)

    def record_start(self, node: str, version: str) -> None:
        """Remember that ``node`` started with this ``version`` of bibd. Only where the built-in schema is."""
        self._session.execute(
            b"INSERT INTO bibd.node AS n (id, version) VALUES (%s, %s)"
            b" ON CONFLICT (id) DO UPDATE SET version = excluded.version, last_start = clock_timestamp()",
            (node, version),
        )

    def _send(self, head: str, statement: Statement | None, tail: str) -> None:
        text = "" if statement is None else statement.text
        try:
            # Without parameters psycopg uses the simple protocol, which takes many statements at once; but not for
            # what it has prepared because it saw it five times, as in five tries. The line ends a comment.
            self._session.execute(f"{head}{text}\n{tail}".encode(), prepare=False)
        except Exception as error:
            failure = _failure(error, statement, len(head))
            if failure.position is not None and not 0 < failure.position <= len(text):
                statement, failure = None, replace(failure, position=None)
            raise StatementError(statement, failure) from error

    @contextmanager
    def _all_or_nothing(self) -> Generator[None]:
        try:
            yield
        except BaseException as error:
            with suppress(Exception):  # the session is gone, and its transaction with it
                self._session.execute(b"ROLLBACK")
                if isinstance(error, StatementError) and _sqlstate(error.__cause__) == _LOCK_NOT_AVAILABLE:
                    error.failure = replace(error.failure, message=error.failure.message + self._blockers())
            raise

    @contextmanager
    def _unhurried(self) -> Generator[None]:
        """CONCURRENTLY waits for all older transactions, and blocks nobody meanwhile.

        With a lock_timeout it would never end on a busy database, and every try would begin anew. One that the file
        itself has set is left.
        """
        ((now,),) = self._ask(b"SELECT setting FROM pg_settings WHERE name = 'lock_timeout'")
        ours = now == str(self._lock_timeout)
        if ours:
            self._tell("SET lock_timeout = 0")
        try:
            yield
        finally:
            if ours:
                with suppress(BibdError):  # the session is gone
                    self._tell(f"SET lock_timeout = {self._lock_timeout}")

    def _index(self, name: str) -> _Index:
        found = self._ask(
            b"SELECT i.indexrelid::regclass::text, i.indisvalid, EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a"
            # A client: autovacuum, which has no role, takes the same lock.
            b" USING (pid) WHERE a.usesysid IS NOT NULL AND l.pid <> pg_backend_pid() AND l.granted"
            b" AND l.mode = 'ShareUpdateExclusiveLock' AND l.relation = i.indrelid AND l.database ="
            b" (SELECT oid FROM pg_database WHERE datname = current_database()))"
            b" FROM pg_index i WHERE i.indexrelid = to_regclass(%s)",
            (name,),
        )
        return _Index(*found[0]) if found else _Index("", valid=False, busy=False)

    def _drop_reindex_leftovers(self, statement: Statement) -> None:
        """What the manual tells to drop after an interrupted REINDEX CONCURRENTLY: the next one would leave it."""
        for (name,) in self._ask(
            b"SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
            b" WHERE NOT i.indisvalid AND c.relname ~ '_cc(new|old)[0-9]*$' AND pg_has_role(c.relowner, 'USAGE')"
            b" AND NOT EXISTS (SELECT FROM pg_locks l WHERE l.relation = i.indrelid AND l.granted"
            b" AND l.mode = 'ShareUpdateExclusiveLock' AND l.pid <> pg_backend_pid())"
        ):
            with self._unhurried():
                self._send("", replace(statement, text=f"DROP INDEX CONCURRENTLY {name}"), "")

    def _blockers(self) -> str:
        """The oldest transactions: one of them has the lock, most often one that was forgotten."""
        rows = self._ask(
            b"SELECT pid, application_name, coalesce(state, '?'),"
            b" ceil(extract(epoch FROM clock_timestamp() - xact_start))"
            b" FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            b" AND xact_start IS NOT NULL ORDER BY xact_start LIMIT 3"
        )
        told = ", ".join(f"pid {pid} ({name or 'no name'}, {state}, {age} s)" for pid, name, state, age in rows)
        return f" (oldest transactions: {told})" if told else ""

    def _make_table(self) -> None:
        ((schema, table),) = self._ask(
            b"SELECT to_regnamespace(%s), to_regclass(%s)", (identifier(self._table.schema), str(self._table))
        )
        if table is not None:
            return
        # CREATE SCHEMA IF NOT EXISTS wants the right to create one also where it exists.
        create = "" if schema else f"CREATE SCHEMA {identifier(self._table.schema)};"
        self._tell(create + CREATE.format(table=self._table))

    def _ask(self, query: bytes, params: Sequence[Any] | None = None) -> list[Any]:
        with _answered():
            return self._session.execute(query, params).fetchall()

    def _tell(self, sql: str) -> None:
        with _answered():
            self._session.execute(sql.encode(), prepare=False)


@contextmanager
def _answered() -> Generator[None]:
    """A statement of ours that fails, as on a lost connection, is an error of ours."""
    try:
        yield
    except BibdError:
        raise
    except Exception as error:
        raise BibdError(
            f"the database did not do what migrations need: {_failure(error, None, 0).message}", _LOOK
        ) from error


@dataclass(frozen=True, slots=True)
class _Index:
    name: str
    valid: bool
    busy: bool


def whole(sql: str, path: Path) -> Script:
    """A file as one statement that runs in a transaction: for files known to do so, without a parser."""
    return Script(path, (Statement(sql, 1, 1, 0, "SCRIPT", in_transaction=True, restart="unsafe"),), transactional=True)


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _sqlstate(error: BaseException | None) -> str:
    return getattr(error, "sqlstate", None) or ""


def _failure(error: Exception, statement: Statement | None, skipped: int) -> Failure:
    """``skipped``: how many characters were sent before the statement's text."""
    diagnosis = getattr(error, "diag", None)
    message = getattr(diagnosis, "message_primary", None) or str(error).strip() or type(error).__name__
    for more in (getattr(diagnosis, "message_detail", None), getattr(diagnosis, "context", None)):
        if more:
            message += f" ({' '.join(more.split())})"
    position = getattr(diagnosis, "statement_position", None)
    state = _sqlstate(error)
    return Failure(
        message,
        hint=getattr(diagnosis, "message_hint", None) or "",
        position=int(position) - skipped if position else None,
        retry=state in _RETRY,
        already=statement is not None and _already(statement.kind, state),
    )


def _already(kind: str, state: str) -> bool:
    if kind.startswith(("CREATE", "ALTER TYPE")):
        return state in _EXISTS
    return kind.startswith(("DROP", "ALTER TABLE")) and state in _IS_GONE
