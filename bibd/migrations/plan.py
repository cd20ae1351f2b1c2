"""What is left to do: the migrations applied to a database against the ones at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bibd.errors import BibdError, IntegrityError
from bibd.migrations.source import Migration


@dataclass(frozen=True, slots=True)
class Applied:
    """A row of the version table."""

    version: int
    name: str
    checksum: str


def pending(applied: Sequence[Applied], available: Sequence[Migration]) -> tuple[Migration, ...]:
    """The migrations to apply, in order. ``available`` is numbered without gaps (``source.read``).

    Raises BibdError when the database is newer than these files, IntegrityError when a migration was edited after it
    was applied, or when the version table has a gap.
    """
    newest = max((row.version for row in applied), default=0)
    if newest > len(available):
        raise BibdError(
            f"the database has schema version {newest}, this bibd knows {len(available)}",
            "install the newer bibd that migrated it, or restore a backup from before",
        )
    done = {row.version: row for row in applied}
    for migration in available[:newest]:
        row = done.get(migration.version)
        if row is None:
            raise IntegrityError(
                f"migration {migration.title} was never applied, but a later one was (version {newest})",
                "the version table was changed by hand: restore its rows, or a backup",
            )
        if row.checksum != migration.checksum:
            raise IntegrityError(
                f"migration {migration.title} was changed after it had been applied"
                f" (checksum {row.checksum[:12]}… then, {migration.checksum[:12]}… now)",
                "restore the file as it was, and put the change into a new migration",
            )
    return tuple(available[newest:])
