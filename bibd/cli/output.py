"""What goes to stdout and stderr: text that a terminal shows as it is, colour only where it is wanted."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, TextIO

from bibd.errors import BibdError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

# Wide enough that nothing is ever cut where no terminal sets the width.
PIPE_WIDTH = 10_000


def emit(text: str) -> None:
    """One piece of output, with its newline. Raises SystemExit when the reader has gone, BibdError on a full disk."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # Else Python would complain about the same pipe again at its end, docs.python.org/3/library/signal.html
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise BibdError(f"cannot write the output: {error.strerror}", "free some space, or write elsewhere") from None


def emit_json(value: object) -> None:
    """Indented for a reader, one line for a pipe: either way one JSON document."""
    emit(json.dumps(value, indent=2 if sys.stdout.isatty() else None, ensure_ascii=not _is_utf8(sys.stdout)))


def warn(text: str) -> None:
    """A line for the person, on stderr, which nobody needs to read."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except OSError:
        pass


def error_text(error: BibdError, *, as_json: bool) -> str:
    if as_json:
        fields = {"message": error.message, "hint": error.hint, "exit_code": error.exit_code}
        return json.dumps({"error": fields})
    text = f"error: {printable(error.message)}"
    return f"{text}\nHINT: {printable(error.hint)}" if error.hint else text


def console(stream: TextIO) -> Console:
    """Tables for ``stream``: no colour without a terminal or with NO_COLOR (no-color.org), nothing cut in a pipe."""
    from rich.console import Console

    terminal = stream.isatty()
    coloured = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Console(
        file=stream,
        force_terminal=terminal,
        color_system="standard" if coloured else None,
        width=None if terminal else PIPE_WIDTH,
        markup=False,
        highlight=False,
        emoji=False,
        legacy_windows=False,
    )


def show(view: RenderableType) -> None:
    """A table or text, on stdout."""
    out = console(sys.stdout)
    with out.capture() as captured:
        out.print(view)
    emit("\n".join(line.rstrip() for line in captured.get().splitlines()))


def printable(text: str) -> str:
    """Without control characters: an error's text may come from a database, and a terminal obeys them."""
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)


def _is_utf8(stream: TextIO) -> bool:
    return (stream.encoding or "").lower().replace("-", "") == "utf8"
