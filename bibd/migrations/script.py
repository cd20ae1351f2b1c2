"""What a migration file says: its statements, in order, and how they may be run."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from bibd.errors import BibdError

Restart = Literal["safe", "unsafe"]
"""Whether a statement may run again when it is not known if it took effect: "safe" ends in the same place."""


class ScriptError(BibdError):
    """A migration file that cannot be run as it is: ``FILE:LINE:COLUMN: what``. Nothing has been run."""

    def __init__(self, path: Path | str, line: int, column: int, what: str, hint: str) -> None:
        super().__init__(f"{path}:{line}:{column}: {what}", hint)
        self.path = path
        self.line = line
        self.column = column


@dataclass(frozen=True)
class Statement:
    text: str
    """From its first word to before its semicolon: without the comments around it."""
    line: int
    """Of its first character in the file, from 1."""
    column: int
    """Of its first character in that line, from 1, in characters (a tab is one)."""
    index: int
    """In the file, from 0."""
    kind: str
    """Its command: ``CREATE UNIQUE INDEX CONCURRENTLY``, ``UPDATE``."""
    in_transaction: bool
    """The database runs it inside a transaction block.

    In a script that is not transactional, such a statement belongs in one transaction with the update of the state
    row: then it is known whether it took effect. Only one that is refused there leaves that open.
    """
    restart: Restart
    object: str | None = None
    """The index that it builds or drops CONCURRENTLY (SQL, quoted as needed): left INVALID when interrupted."""
    session: bool = False
    """It changes the session (SET, PRAGMA foreign_keys, a temporary table).

    A new session that resumes after it runs it again first where ``restart`` is "safe", and cannot resume else.
    """

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def locate(self, position: int) -> tuple[int, int]:
        """Line and column in the file of the character ``position`` (from 1, as PostgreSQL counts) of ``text``."""
        line, column = locate(self.text, position - 1)
        return self.line + line - 1, column + (self.column - 1 if line == 1 else 0)


@dataclass(frozen=True, slots=True)
class Script:
    path: Path | str
    statements: tuple[Statement, ...]
    transactional: bool
    """All of it runs in one transaction; else statement by statement."""


@dataclass(frozen=True, slots=True)
class Touched:
    """The relations whose rows or columns a script may change or drop."""

    tables: tuple[str, ...]
    """As in SQL, quoted as needed: ``t``, ``app.t``, ``"T"``; sorted. Sequences and views too.

    Named in the script only: their partitions, inheriting tables and what ON DELETE CASCADE reaches are known to the
    database's catalogue alone.
    """
    everything: bool
    """What it touches cannot be told from its text."""


# The words that make up the name of a command, in either database; what follows is a name or an option.
_COMMAND = re.compile(
    r"""(?:(?:
    ABORT|ALTER|ANALYZE|ATTACH|BEGIN|CALL|CHECKPOINT|CLUSTER|COLUMN|COMMENT|COMMIT|CONCURRENTLY|COPY|CREATE
    |DATABASE|DEFAULT|DELETE|DETACH|DISCARD|DO|DOMAIN|DROP|END|EVENT|EXECUTE|EXPLAIN|EXTENSION|FOREIGN|FROM
    |FUNCTION|GRANT|INDEX|INSERT|INTO|LOCK|MATERIALIZED|MERGE|NOTIFY|OR|OWNED|POLICY|PRAGMA|PREPARE
    |PRIVILEGES|PROCEDURE|PUBLICATION|REASSIGN|REFRESH|REINDEX|RELEASE|REPLACE|RESET|REVOKE|ROLE|ROLLBACK
    |RULE|SAVEPOINT|SCHEMA|SELECT|SEQUENCE|SERVER|SET|START|STATISTICS|SUBSCRIPTION|SYSTEM|TABLE|TABLESPACE
    |TEMP|TEMPORARY|TRANSACTION|TRIGGER|TRUNCATE|TYPE|UNIQUE|UNLOGGED|UPDATE|USER|VACUUM|VALUES|VIEW|VIRTUAL
    |WITH|WRAPPER
    )\b\s*)+""",
    re.VERBOSE | re.IGNORECASE,
)


def command(text: str) -> str:
    """The name of the command that the statement ``text`` begins with, in capitals: ``CREATE UNIQUE INDEX``."""
    named = _COMMAND.match(text)
    return " ".join((named[0] if named else text.split(maxsplit=1)[0]).upper().split())


def locate(text: str, offset: int) -> tuple[int, int]:
    """Line and column, both from 1, of the character ``offset`` (from 0)."""
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1
