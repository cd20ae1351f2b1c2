"""What the engine needs of a database, and what it tells about its work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from bibd.errors import BibdError
from bibd.migrations.plan import Applied, Direction
from bibd.migrations.script import Statement


class Cancelled(BibdError):  # noqa: N818 -- not an error: somebody asked for it
    """The caller's event was set."""

    def __init__(self, hint: str = "") -> None:
        super().__init__("the migration was cancelled", hint)


@dataclass(frozen=True, slots=True)
class StepProgress:
    """Where a run is. While it waits for the lock, ``version``, ``statement`` and ``statements`` are 0."""

    direction: Direction
    version: int
    name: str
    statement: int
    """From 1. "done" says that all up to it are committed."""
    statements: int
    text: str
    """The statement's first characters, on one line."""
    state: Literal["waiting for lock", "restore point", "running", "done", "retrying"]
    detail: str = ""


Progress = Callable[[StepProgress], None]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the state table, whole: ``plan`` needs ``entry`` alone."""

    entry: Applied
    applied_at: datetime | None
    """None: started and not finished."""
    applied_by: str
    failure: str | None = None
    """Why the statement after the finished ones failed. None with ``applied_at`` None: it was cut off."""


@dataclass(frozen=True, slots=True)
class Insert:
    """``entry.applied`` decides whether the row gets its time."""

    entry: Applied
    applied_by: str


@dataclass(frozen=True, slots=True)
class Update:
    entry: Applied
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    version: int


Change = Insert | Update | Delete


@dataclass(frozen=True, slots=True)
class Foreign:
    """What golang-migrate's table says."""

    table: str
    version: int
    dirty: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """What the database says of an error."""

    message: str
    hint: str = ""
    position: int | None = None
    """Of the character in the statement's text, from 1."""
    retry: bool = False
    """It failed for want of a lock, or by a deadlock: the same may work a moment later."""
    already: bool = False
    """What it is to make exists, or what it is to remove does not."""


class StatementError(Exception):
    """A statement failed; None: the change of the state table or the commit did. What was begun is rolled back."""

    def __init__(self, statement: Statement | None, failure: Failure) -> None:
        super().__init__(statement, failure)
        self.statement = statement
        self.failure = failure

    def __str__(self) -> str:
        return self.failure.message


class Backend(Protocol):
    """A database with a state table of its own, through one session that nobody else uses meanwhile.

    Every method raises BibdError when the database does not do what bibd itself asks of it.
    """

    def rows(self) -> tuple[Row, ...]:
        """The state table, by version; empty when there is no table yet."""
        ...

    def foreign(self) -> Foreign | None:
        """golang-migrate's table, when there is one that names a version."""
        ...

    def holder(self) -> str:
        """Who else holds the migration lock; "" when nobody does."""
        ...

    def exclusive(
        self, cancel: threading.Event, waiting: Callable[[str], None], timeout: float | None = None
    ) -> AbstractContextManager[None]:
        """Hold the migration lock; it ends with this process, however that ends.

        Inside, the state table exists. ``waiting`` is told of the holder while another one has the lock. Raises
        Cancelled, and BibdError after ``timeout`` seconds (None: as long as it takes).
        """
        ...

    def transaction(
        self,
        statements: Sequence[Statement],
        changes: Sequence[Change],
        *,
        lock_timeout: float,
        durable: bool,
        running: Callable[[Statement], None],
    ) -> None:
        """All of it or nothing, in a session as it was when it was opened. ``running`` is told of each statement.

        Not ``durable``: the commit may get lost with the machine until the next durable one. Raises StatementError,
        and whatever ``running`` raises.
        """
        ...

    def begin_file(self, lock_timeout: float) -> None:
        """Make the session as it was when it was opened, for the two below."""
        ...

    def together(self, statement: Statement, changes: Sequence[Change]) -> None:
        """A statement and ``changes`` in one transaction; what it does to the session stays. Raises StatementError."""
        ...

    def alone(self, statement: Statement) -> None:
        """Run a statement outside of a transaction. Raises StatementError."""
        ...

    def found_done(self, statement: Statement) -> bool:
        """Whether ``statement`` has all its effect already, as far as that can be seen.

        What an interrupted one has left in the way is removed.
        """
        ...

    def record(self, changes: Sequence[Change]) -> None:
        """``changes`` in one durable transaction; also makes durable what was committed before."""
        ...

    def interrupt(self) -> None:
        """Make the statement that runs fail. From another thread; returns when it can hit no later one."""
        ...
