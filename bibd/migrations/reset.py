"""A dirty migration and its file: what to tell a person, and how it could go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bibd.errors import IntegrityError
from bibd.migrations.backend import Row
from bibd.migrations.dirty import Recovery, assess
from bibd.migrations.plan import Step
from bibd.migrations.runner import Task
from bibd.migrations.script import Script
from bibd.migrations.source import Migration

Parse = Callable[[str, Path], Script]


@dataclass(frozen=True, slots=True)
class Reset:
    """What was found, and what a reset does, in sentences; it may be not ``possible``."""

    explanation: str
    possible: bool


@dataclass(frozen=True, slots=True)
class Dirty:
    row: Row
    migration: Migration
    script: Script
    recovery: Recovery

    @property
    def task(self) -> Task:
        return Task(self.row.entry.direction, self.migration, self.script, before=None)

    @property
    def step(self) -> Step:
        return Step(self.row.entry.direction, self.migration, "it was started, and not finished")

    @property
    def cut_off(self) -> int | None:
        """The index of the statement of which nobody knows how it ended; None when it is known."""
        hashes, done = self.row.entry.step_hashes, self.row.entry.done
        if self.row.failure is not None or len(hashes) <= done:
            return None
        rest = self.script.statements[done:]
        return next((statement.index for statement in rest if statement.sha256 == hashes[done]), None)

    @property
    def action(self) -> str:
        then = "bib admin migrate up" if self.recovery.safe else "bib admin migrate --reset"
        return f"{self.found} Go on: {then}"

    @property
    def found(self) -> str:
        if self.row.failure is None:
            return self.recovery.why
        return f"{self.recovery.why} It stopped because of: {self.row.failure}."


def dirty_row(rows: Sequence[Row]) -> Row | None:
    return next((row for row in rows if not row.entry.applied), None)


def examine(rows: Sequence[Row], migrations: Sequence[Migration], parse: Parse) -> Dirty | None:
    """The migration that was started and not finished, with its file as it is now; None when there is none.

    Raises IntegrityError when the file is missing, ScriptError when it cannot be run.
    """
    row = dirty_row(rows)
    if row is None:
        return None
    entry = row.entry
    migration = next((found for found in migrations if found.version == entry.version), None)
    text, path = None, None
    if migration is not None:
        up = entry.direction == "up"
        text, path = (migration.up, migration.up_path) if up else (migration.down, migration.down_path)
    if migration is None or path is None or text is None:
        raise IntegrityError(
            f"migration {entry.title} stopped after {entry.done} of {entry.statements} statements, and its"
            f" .{entry.direction}.sql is missing",
            "restore the file as it was; or bring the schema to a version V by hand, then: bib admin migrate force V",
        )
    script = parse(text, path)
    return Dirty(row, migration, script, assess(entry, script))


def explain(dirty: Dirty | None) -> Reset:
    if dirty is None:
        return Reset("No migration is dirty: there is nothing to reset.", possible=False)
    told = [dirty.found]
    if dirty.cut_off is not None and not dirty.script.statements[dirty.cut_off].in_transaction:
        told.append(
            "If the statement that was cut off says that what it makes exists, or that what it removes does not, it"
            " counts as finished."
        )
    told.append(f"The file is {dirty.script.path}.")
    return Reset(" ".join(told), possible=True)
