"""A migration file as PostgreSQL's own parser reads it. pglast (0.05 s) is imported when the first one is parsed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bibd.migrations import postgres_statement as judge
from bibd.migrations.postgres_statement import UNSEEN, Node
from bibd.migrations.postgres_touched import touched_by
from bibd.migrations.script import Script, ScriptError, Touched, locate
from bibd.migrations.transactions import MARKER, Piece, assemble

_COMMENTS = {"SQL_COMMENT", "C_COMMENT"}

_Found = tuple[Node, int, int]
"""A statement, and its first character and the one after its last."""


def parse(sql: str, path: Path | str) -> Script:
    """The statements of ``sql`` and how they may run; ``path`` is for messages.

    Raises ScriptError at a syntax error, a command of psql, COPY from or to the client, DISCARD ALL, and transaction
    control (``transactions.assemble``).
    """
    found = list(_read(sql, path))
    marked = MARKER.search(sql) is not None and _is_marked(sql)
    return assemble(sql, path, list(_pieces(sql, path, found, marked=marked)), marked=marked)


def touched(script: Script) -> Touched:
    """The relations whose rows or columns the script may change or drop."""
    return touched_by(node for statement in script.statements for node, _, _ in _read(statement.text, script.path))


def _pieces(sql: str, path: Path | str, found: Sequence[_Found], *, marked: bool) -> Iterator[Piece]:
    nodes = [node for node, _, _ in found]
    enum = judge.uses_new_enum_value(nodes, [sql[start:end] for _, start, end in found])
    for index, (node, start, end) in enumerate(found):
        if refused := judge.refused_in_migrations(node):
            raise ScriptError(path, *locate(sql, start), *refused)
        apart = "runs in no transaction" if judge.refused_in_transaction(node) else ""
        yield Piece(
            start,
            end,
            control=judge.transaction_control(node),
            apart=apart or ("adds a value that is used in the same transaction" if index == enum else ""),
            # A procedure may commit, and be the reason for the mark.
            in_transaction=not apart and not (marked and judge.may_commit(node)),
            restart=judge.restart(node),
            object=judge.concurrent_index(node),
            session=judge.changes_session(node),
        )


def _read(sql: str, path: Path | str) -> list[_Found]:
    from pglast.parser import ParseError, parse_sql_json, split

    try:
        # Not parse_sql(): that takes 10 times as long, and the square of the length where a text is not ASCII.
        tree = parse_sql_json(sql)
    except ParseError as error:
        # pglast turns PostgreSQL's byte offset into characters; it has none at the end of the input.
        what, at, *_ = (*error.args, None)
        raise _syntax_error(sql, path, len(sql.rstrip()) if at is None else at, what) from error
    try:
        return list(_cut(sql, json.loads(tree).get("stmts", ())))
    except RecursionError:
        parts = split(sql, only_slices=True)
    if len(parts) == 1:
        return [(UNSEEN, parts[0].start, parts[0].stop)]
    return [
        (node, part.start + start, part.start + end) for part in parts for node, start, end in _read(sql[part], path)
    ]


def _cut(sql: str, statements: Sequence[dict[str, Any]]) -> Iterator[_Found]:
    """PostgreSQL counts in bytes."""
    text = sql.encode()
    byte = character = 0
    for statement in statements:
        begin = statement.get("stmt_location", 0)
        stop = begin + statement["stmt_len"] if "stmt_len" in statement else len(text)
        character += len(text[byte:begin].decode())
        content = text[begin:stop].decode()
        (node,) = statement["stmt"].items()
        yield node, character, character + len(_without_comment(content))
        byte, character = stop, character + len(content)


def _without_comment(text: str) -> str:
    """The parser leaves out the comments before a statement, but not those between its end and its semicolon."""
    text = text.rstrip()
    if not text.endswith("*/") and "--" not in text.rpartition("\n")[2]:
        return text
    from pglast.parser import scan

    return text[: max(token.end for token in scan(text) if token.name not in _COMMENTS) + 1]


def _is_marked(sql: str) -> bool:
    from pglast.parser import scan

    return any(
        token.name == "SQL_COMMENT" and MARKER.fullmatch(sql[token.start : token.end + 1]) for token in scan(sql)
    )


def _syntax_error(sql: str, path: Path | str, at: int, what: str) -> ScriptError:
    line, column = locate(sql, at)
    if meta := re.match(r"\\(\w+|.)", sql[at:]):
        return ScriptError(
            path,
            line,
            column,
            f"{meta[0]} is a command of psql, not SQL",
            "write it in SQL (data as INSERT: pg_dump --inserts; parts as migrations of their own)",
        )
    return ScriptError(path, line, column, what, "correct the SQL; nothing has been run")
