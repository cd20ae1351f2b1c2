"""A migration file as SQLite reads it: cut by ``sqlite3_complete()``, checked by EXPLAIN on an empty database."""

from __future__ import annotations

import re
import sqlite3
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal

from bibd.migrations.script import Restart, Script, ScriptError, command, locate
from bibd.migrations.transactions import MARKER, Piece, assemble

# Strings, quoted names and comments, in which nothing else means anything.
_QUOTED = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`|\[[^\]]*\]|/\*.*?\*/|--[^\n]*""", re.DOTALL)
_NOTHING = re.compile(r"(?:\s+|;|--[^\n]*|/\*.*?(?:\*/|\Z))*", re.DOTALL)

_PRAGMA = re.compile(r"PRAGMA\s+(?:\w+\s*\.\s*)?(?P<name>\w+)(?P<sets>\s*[=(])?", re.IGNORECASE)
# Refused in a transaction, or ignored without a word (https://sqlite.org/pragma.html).
_PRAGMAS_APART = {"foreign_keys", "journal_mode", "synchronous", "temp_store", "wal_checkpoint"}
# Kept in the file; all others end with the connection.
_PRAGMAS_KEPT = {"application_id", "auto_vacuum", "journal_mode", "page_size", "user_version"}

_TEMPORARY = re.compile(r"CREATE\s+(?:TEMP(?:ORARY)?\b|\w+\s+(?:IF\s+NOT\s+EXISTS\s+)?temp\s*\.)", re.IGNORECASE)
_IF_EXISTS = re.compile(r"(?:CREATE|DROP)\s+(?:\w+\s+){1,3}?IF\s+(?:NOT\s+)?EXISTS\b", re.IGNORECASE)

# The first errors that a parser finds; what EXPLAIN says beside them depends on the tables that there are.
_NEAR = re.compile(r'near "(?P<token>.*)": syntax error|unrecognized token: "(?P<bad>.*)"', re.DOTALL)
_NO_TABLE = re.compile(r"no such table: (?:main\.)?(?P<name>.+)")
_TABLES = 20


def parse(sql: str, path: Path | str) -> Script:
    """The statements of ``sql`` and how they may run; ``path`` is for messages.

    Raises ScriptError at a syntax error, a command of the sqlite3 shell, and transaction control
    (``transactions.assemble``). Names are not looked up: whether a table exists shows when the script runs.
    """
    pieces: list[Piece] = []
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as empty:
        for start, end in _spans(sql):
            text = sql[start:end]
            if found := _syntax_error(text, empty):
                raise _located(sql, path, start, *found)
            pieces.append(_piece(text, start, end))
    marked = any(MARKER.fullmatch(match[0].strip()) for match in _QUOTED.finditer(sql))
    return assemble(sql, path, pieces, marked=marked)


def _spans(sql: str) -> Iterator[tuple[int, int]]:
    """Where each statement begins and ends: without the comments before it and its semicolon."""
    start = _after_nothing(sql, 0)
    for match in re.finditer(";", sql):
        if match.start() >= start and sqlite3.complete_statement(sql[start : match.end()]):
            yield start, start + len(sql[start : match.start()].rstrip())
            start = _after_nothing(sql, match.end())
    if start < len(sql):  # without its semicolon
        yield start, len(sql.rstrip())


def _after_nothing(sql: str, start: int) -> int:
    match = _NOTHING.match(sql, start)
    return match.end() if match else start


def _piece(text: str, start: int, end: int) -> Piece:
    name = command(text)
    pragma = _PRAGMA.match(text)
    restart: Restart = "safe" if _IF_EXISTS.match(text) or name in {"ANALYZE", "REINDEX"} else "unsafe"
    apart = session = False
    if pragma is not None:
        which, sets = pragma["name"].lower(), pragma["sets"] is not None
        apart = which == "wal_checkpoint" or (sets and which in _PRAGMAS_APART)
        session = sets and which not in _PRAGMAS_KEPT
        restart = "safe"
    elif name == "VACUUM":
        apart = True
        restart = "unsafe" if re.search(r"\bINTO\b", text, re.IGNORECASE) else "safe"  # a file of its own
    elif name.startswith(("ATTACH", "DETACH")):
        apart = session = True
        restart = "safe"  # in a new session, in which those before it have run again
    elif _TEMPORARY.match(text):
        session = True
        restart = "unsafe"
    return Piece(
        start,
        end,
        control=_control(text, name),
        apart="runs in no transaction" if apart else "",
        in_transaction=not apart,
        restart=restart,
        session=session,
    )


def _control(text: str, name: str) -> Literal["begin", "commit", "savepoint", "other"] | None:
    match name.split(maxsplit=1)[0]:
        case "BEGIN":
            return "begin"
        case "COMMIT" | "END":
            return "commit"
        case "SAVEPOINT" | "RELEASE":
            return "savepoint"
        case "ROLLBACK":
            return "savepoint" if re.search(r"\bTO\b", text, re.IGNORECASE) else "other"
        case _:
            return None


def _syntax_error(text: str, empty: sqlite3.Connection) -> tuple[int, str] | None:
    """The offset in ``text`` and the message."""
    message = _explain(text, empty)
    if message == "incomplete input":
        return len(text), "the statement ends too early"
    match = _NEAR.fullmatch(message)
    if match is None:
        return None
    token = match["bad"] if match["token"] is None else match["token"]
    # The module does not tell where it is. The parser stops at the first wrong token, whatever comes after: it is
    # the first of these at which what leads up to it is wrong already.
    before, after = (
        (r"(?<![\w$])" if re.match(r"\w", token) else ""),
        (r"(?![\w$])" if re.search(r"\w\Z", token) else ""),
    )
    ends = [match.end() for match in re.finditer(before + re.escape(token) + after, text)]
    found = bisect_left(ends, True, key=lambda end: _explain(text[:end], empty) == message)
    return (ends[found] - len(token) if found < len(ends) else 0), message


def _explain(text: str, empty: sqlite3.Connection) -> str:
    """What SQLite finds wrong with ``text``; empty when nothing."""
    if _PRAGMA.match(text):
        return ""  # some take effect while they are prepared, on the whole process
    name = command(text)
    query = text if name.startswith("EXPLAIN") else f"EXPLAIN {text}"
    message = _prepare(query, empty)
    if not name.startswith("ALTER") and not name.endswith("TRIGGER"):
        return message
    # These two look for their table before they read on.
    empty.execute("BEGIN")
    try:
        for _ in range(_TABLES):
            missing = _NO_TABLE.fullmatch(message)
            if missing is None or _prepare('CREATE TABLE "{}" (x)'.format(missing["name"].replace('"', '""')), empty):
                break
            message = _prepare(query, empty)
        return message
    finally:
        empty.execute("ROLLBACK")


def _prepare(query: str, empty: sqlite3.Connection) -> str:
    try:
        empty.execute(query).close()
    except sqlite3.Error as error:
        return str(error)
    return ""


def _located(sql: str, path: Path | str, start: int, offset: int, message: str) -> ScriptError:
    line, column = locate(sql, start + offset)
    if offset == 0 and (dot := re.match(r"\.\w+", sql[start:])):
        return ScriptError(
            path, line, column, f"{dot[0]} is a command of the sqlite3 shell, not SQL", "write it in SQL, or remove it"
        )
    return ScriptError(path, line, column, message, "correct the SQL; nothing has been run")
