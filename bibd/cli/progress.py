"""The progress of migrations on stderr: a bar on a terminal, a line for each report elsewhere, or nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from bibd.cli.output import console, printable, warn

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

# Of a statement in one line of a log.
SHOWN_OF_STATEMENT = 100

# The states of bibd.migrations.backend.StepProgress that need no words, or no statement.
RUNNING, DONE = "running", "done"

Fields = Mapping[str, Any]


class Display(Protocol):
    def show(self, fields: Fields) -> None:
        """One progress notification of ``migrate.run``."""
        ...

    def say(self, text: str) -> None:
        """A sentence for the person, above the bar."""
        ...


@contextmanager
def display(*, quiet: bool) -> Generator[Display]:
    """``quiet`` shows nothing. A bar is gone at the end: what stays is what the command then prints."""
    if quiet:
        yield _Nothing()
    elif not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield _Lines()
    else:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.table import Column

        columns = (
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[text]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
        )
        with Progress(*columns, console=console(sys.stderr), transient=True) as bar:
            yield _Bar(bar)


class _Nothing:
    def show(self, fields: Fields) -> None:
        pass

    def say(self, text: str) -> None:
        pass


class _Lines:
    def show(self, fields: Fields) -> None:
        warn(line(fields))

    def say(self, text: str) -> None:
        warn(printable(text))


class _Bar:
    """One task, for the migration that runs; those before it have become lines above."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._title = ""

    def show(self, fields: Fields) -> None:
        title = _title(fields)
        total = fields["statements"] or None  # None: a bar that moves, while it waits
        if self._task is None or title != self._title:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._title = title
            self._task = self._progress.add_task(printable(title), total=total, text="")
        finished = fields["statement"] - (fields["state"] != DONE)
        text = printable(_joined(": ", _state(fields), _what(fields)))
        self._progress.update(self._task, completed=max(0, finished), total=total, text=text)

    def say(self, text: str) -> None:
        self._progress.console.print(printable(text))


def line(fields: Fields) -> str:
    """``up 000004_add_orders 2/3: CREATE TABLE orders (id bigint …``"""
    what = _what(fields)
    if len(what) > SHOWN_OF_STATEMENT:
        what = what[: SHOWN_OF_STATEMENT - 1] + "…"
    where = f"{fields['statement']}/{fields['statements']}" if fields["statement"] else ""
    return printable(_joined(": ", _joined(" ", _title(fields), where, _state(fields)), what))


def _title(fields: Fields) -> str:
    return f"{fields['direction']} {fields['version']:06}_{fields['name']}" if fields["version"] else ""


def _state(fields: Fields) -> str:
    return "" if fields["state"] == RUNNING else str(fields["state"])


def _what(fields: Fields) -> str:
    """In one line: why it is in its state, and the statement."""
    text = "" if fields["state"] == DONE else str(fields["text"])
    return " ".join(_joined("; ", str(fields["detail"]), text).split())


def _joined(separator: str, *parts: str) -> str:
    return separator.join(part for part in parts if part)
