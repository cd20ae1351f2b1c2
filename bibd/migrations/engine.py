"""Bring a database to the newest version: all or nothing, once, whoever else tries at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from bibd.errors import BibdError
from bibd.migrations.plan import Applied, pending
from bibd.migrations.source import Migration


class Backend(Protocol):
    """A database with a version table of its own, through one connection."""

    def applied(self) -> tuple[Applied, ...]:
        """The rows of the version table; empty when there is no table yet."""
        ...

    def exclusive(self, timeout: float) -> AbstractContextManager[None]:
        """A transaction under the migration lock: committed at the end, rolled back by an exception.

        What others committed before is visible inside. Raises BibdError when the lock is not free in ``timeout`` s.
        """
        ...

    def apply(self, migration: Migration, applied_by: str) -> None:
        """Run the up script and write its row; inside ``exclusive`` only. Raises the driver's error."""
        ...


@dataclass(frozen=True, slots=True)
class MigrationState:
    state: Literal["clean", "pending"]
    version: int
    """The newest applied version, 0 before the first."""
    pending: int
    """How many are left."""
    applied_now: tuple[int, ...] = ()


def state(backend: Backend, migrations: Sequence[Migration]) -> MigrationState:
    """Look, change nothing. Raises BibdError like ``plan.pending``."""
    left = pending(backend.applied(), migrations)
    return MigrationState("pending" if left else "clean", len(migrations) - len(left), len(left))


def migrate(
    backend: Backend, migrations: Sequence[Migration], *, applied_by: str, lock_timeout: float
) -> MigrationState:
    """Apply what is pending, in one transaction: on failure the database is as it was.

    Without anything pending it only reads. Raises BibdError when the versions do not fit together, a script
    fails, or another migration holds the lock for longer than ``lock_timeout`` seconds.
    """
    if not pending(backend.applied(), migrations):
        return MigrationState("clean", len(migrations), 0)
    with backend.exclusive(lock_timeout):
        # Again, now that nobody else can: another node may have done it while we waited.
        todo = pending(backend.applied(), migrations)
        for migration in todo:
            try:
                backend.apply(migration, applied_by)
            except Exception as error:
                raise BibdError(
                    f"migration {migration.title} failed: {str(error).strip() or type(error).__name__}",
                    "nothing was changed; correct the cause and start again",
                ) from error
    return MigrationState("clean", len(migrations), 0, tuple(migration.version for migration in todo))
