"""How a script runs: all of it in one transaction, which bibd makes, or statement by statement."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bibd.migrations.script import Restart, Script, ScriptError, Statement, command, locate

# The comment that makes a file run statement by statement.
MARKER = re.compile(r"--\s*bibd:\s*no-transaction\s*")

_REMOVE = "remove it: bibd runs a file in one transaction, or statement by statement where that cannot be"


@dataclass(frozen=True, slots=True)
class Piece:
    """A statement as a parser finds it: characters ``start`` to ``end`` of the file."""

    start: int
    end: int
    control: Literal["begin", "commit", "savepoint", "other"] | None = None
    """What it does to the transaction; "begin" and "commit" are without options."""
    apart: str = ""
    """Why it cannot share a transaction with the rest of the file; empty when it can."""
    in_transaction: bool = True
    restart: Restart = "unsafe"
    object: str | None = None
    session: bool = False


def assemble(sql: str, path: Path | str, pieces: Sequence[Piece], *, marked: bool) -> Script:
    """The script of ``pieces``; ``marked``: it has the comment ``MARKER``.

    Raises ScriptError at transaction control, but for one BEGIN … COMMIT around everything, which is left out, and for
    savepoints in a script that runs in one transaction.
    """

    def refuse(piece: Piece, what: str, hint: str) -> ScriptError:
        return ScriptError(path, *locate(sql, piece.start), f"{command(sql[piece.start : piece.end])} {what}", hint)

    wrapped = len(pieces) > 1 and pieces[0].control == "begin" and pieces[-1].control == "commit"
    inner = pieces[1:-1] if wrapped else pieces
    apart = next((piece for piece in inner if piece.apart), None)
    transactional = apart is None and not marked
    for piece in inner:
        if piece.control is not None and not (transactional and piece.control == "savepoint"):
            raise refuse(piece, "is not for a migration", _REMOVE)
    if wrapped and apart is not None:
        raise refuse(apart, f"{apart.apart}, and BEGIN … COMMIT is around it", "remove BEGIN and COMMIT")
    if wrapped and marked:
        raise refuse(pieces[0], "is in a file that is marked no-transaction", "remove BEGIN and COMMIT, or the mark")
    return Script(path, tuple(_statements(sql, inner)), transactional)


def _statements(sql: str, pieces: Sequence[Piece]) -> Iterator[Statement]:
    # Not locate(): from the beginning each time, that takes the square of the length.
    lines = [0, *(end.end() for end in re.finditer("\n", sql))]
    for index, piece in enumerate(pieces):
        text = sql[piece.start : piece.end]
        line = bisect_right(lines, piece.start)
        yield Statement(
            text,
            line,
            piece.start - lines[line - 1] + 1,
            index,
            command(text),
            piece.in_transaction,
            piece.restart,
            piece.object,
            piece.session,
        )
