"""What the migrator understands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from bibd.migrations.engine import MigrationState
from bibd.supervision import Notice


class Migrator:
    """The migrator's protocol."""


@dataclass(frozen=True, slots=True)
class MigrationsDone(Notice[Migrator]):
    """Its own job."""

    migrated: MigrationState


MigratorMessage: TypeAlias = MigrationsDone
