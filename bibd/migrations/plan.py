"""What will run, in which order and why: the migrations applied to a database against the ones at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bibd.errors import BibdError, IntegrityError, UsageError
from bibd.migrations.source import Migration

Direction = Literal["up", "down"]


@dataclass(frozen=True, slots=True)
class Applied:
    """A row of the state table."""

    version: int
    name: str
    checksum: str
    """SHA-256 of the up file that ran."""
    down_checksum: str | None = None
    applied: bool = True
    """False: started and not finished (``applied_at`` is null), that is dirty."""
    done: int = 0
    """How many statements are finished."""
    statements: int = 0
    """How many the file has."""
    transactional: bool = True
    step_hashes: tuple[str, ...] = ()
    """``Statement.sha256`` of the file's statements, when it is not transactional: the first ``done`` are finished.

    Written for the whole file before it starts, so that the one that was under way is known too; without what comes
    after the finished ones when none was.
    """
    direction: Direction = "up"

    @property
    def title(self) -> str:
        return f"{self.version:06}_{self.name}"


@dataclass(frozen=True, slots=True)
class UpAll:
    """Everything that is pending."""


@dataclass(frozen=True, slots=True)
class Up:
    """The next ``count`` pending ones, or as many as there are."""

    count: int


@dataclass(frozen=True, slots=True)
class Down:
    """Undo the newest ``count`` applied ones."""

    count: int


@dataclass(frozen=True, slots=True)
class Goto:
    """Up or down until ``version`` is the newest applied one; 0: nothing is."""

    version: int


Goal = UpAll | Up | Down | Goto


@dataclass(frozen=True, slots=True)
class Step:
    direction: Direction
    migration: Migration
    why: str
    """A clause for a person."""


@dataclass(frozen=True, slots=True)
class Plan:
    steps: tuple[Step, ...]
    """In the order to run; empty when nothing is to do."""


@dataclass(frozen=True, slots=True)
class MigrationState:
    state: Literal["clean", "pending", "dirty", "mismatch"]
    version: int
    """The newest applied version, 0 before the first; when dirty, the one that is."""
    pending: int
    """How many are left."""
    applied_now: tuple[int, ...] = ()
    action: str = ""
    """What a person has to do; empty when nothing."""


class DirtyError(IntegrityError):
    """A migration was started and not finished."""

    def __init__(self, row: Applied) -> None:
        super().__init__(
            f"migration {row.title} ({row.direction}) stopped after {row.done} of {row.statements} statements",
            "see what happened and how to go on: bib admin migrate --reset",
        )
        self.row = row


def plan(applied: Sequence[Applied], available: Sequence[Migration], goal: Goal) -> Plan:
    """``available`` is in order (``source.read``), ``applied`` need not be.

    Raises, before anything runs: DirtyError; IntegrityError when an applied file is missing or was edited; BibdError
    when the database is newer than the files, when a new file would run after newer ones, and when a file needed to
    undo does not exist; UsageError when the goal makes no sense here.
    """
    _check(applied, available)
    applied_versions = {row.version for row in applied}
    pending = tuple(m for m in available if m.version not in applied_versions)
    undoable = tuple(m for m in reversed(available) if m.version in applied_versions)
    match goal:
        case UpAll():
            return _up(pending, "pending")
        case Up(count):
            return _up(pending[: _positive(count)], f"among the next {count} pending")
        case Down(count):
            if _positive(count) > len(undoable):
                raise UsageError(
                    f"only {len(undoable)} migrations are applied, {count} cannot be undone",
                    "see which: bib admin migrate status",
                )
            return _down(undoable[:count], f"among the newest {count} applied", applied)
        case Goto(version):
            if version and all(m.version != version for m in available):
                raise UsageError(f"no migration has the version {version}", "see which: bib admin migrate status")
            later = tuple(m for m in undoable if m.version > version)
            if later:
                return _down(later, f"applied, and after version {version}", applied)
            return _up(tuple(m for m in pending if m.version <= version), f"pending, and not after version {version}")


def state(applied: Sequence[Applied], available: Sequence[Migration]) -> MigrationState:
    """Never raises: what ``plan`` would raise is the state "dirty" or "mismatch"."""
    finished = {row.version for row in applied if row.applied}
    newest = max(finished, default=0)
    pending = sum(m.version not in finished for m in available)
    try:
        _check(applied, available)
    except DirtyError as error:
        return MigrationState("dirty", error.row.version, pending, action=f"{error.message}; {error.hint}")
    except BibdError as error:
        return MigrationState("mismatch", newest, pending, action=f"{error.message}; {error.hint}")
    if pending:
        return MigrationState("pending", newest, pending, action="run what is pending: bib admin migrate up")
    return MigrationState("clean", newest, 0)


def _check(applied: Sequence[Applied], available: Sequence[Migration]) -> None:
    """The first thing that does not fit, in the order in which a person has to deal with them."""
    rows = sorted(applied, key=lambda row: row.version)
    files = {migration.version: migration for migration in available}
    newest_file = max(files, default=0)
    for row in rows:
        if not row.applied:
            raise DirtyError(row)
    if rows and rows[-1].version > newest_file:
        raise BibdError(
            f"the database is newer than the migrations at hand: it has {rows[-1].title},"
            f" {f'they end with {files[newest_file].title}' if files else 'there are none'}",
            "install what migrated it and its files, or restore a backup from before",
        )
    for row in rows:
        migration = files.get(row.version)
        if migration is None:
            raise IntegrityError(
                f"migration {row.title} is applied, but its file is missing", "restore the file as it was"
            )
        if row.checksum != migration.checksum:
            raise IntegrityError(
                f"migration {migration.title} was changed after it had been applied"
                f" (SHA-256 {row.checksum[:12]}… then, {migration.checksum[:12]}… now)",
                "restore the file as it was, and put the change into a new migration",
            )
    done = {row.version for row in rows}
    for migration in available:
        if migration.version not in done and rows and migration.version < rows[-1].version:
            raise BibdError(
                f"migration {migration.title} is out of order: not applied, but {rows[-1].title} after it is",
                f"give it a number after {newest_file}; what it changes must fit the schema as it is now",
            )


def _positive(count: int) -> int:
    if count < 1:
        raise UsageError(f"{count} is not a number of migrations", "give a number from 1")
    return count


def _up(migrations: Sequence[Migration], why: str) -> Plan:
    return Plan(tuple(Step("up", migration, why) for migration in migrations))


def _down(migrations: Sequence[Migration], why: str, applied: Sequence[Applied]) -> Plan:
    for migration in migrations:
        if migration.down is None:
            raise BibdError(
                f"migration {migration.title} cannot be undone: it has no .down.sql",
                f"write {migration.up_path.with_name(f'{migration.title}.down.sql')}, or restore a backup",
            )
    # Not an error: a down file that does not work has to be corrected after its migration was applied.
    then = {row.version: row.down_checksum for row in applied}
    edited = "; its down file was changed since it was applied"
    return Plan(
        tuple(Step("down", m, why + (edited if m.down_checksum != then[m.version] else "")) for m in migrations)
    )
