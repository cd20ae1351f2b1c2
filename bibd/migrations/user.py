"""The user's own migrations, opened on a database."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

from bibd.errors import ConfigError
from bibd.migrations import sums
from bibd.migrations.engine import Migrator
from bibd.migrations.reset import Parse
from bibd.migrations.source import Migration, read


@dataclass(frozen=True, slots=True)
class UserMigrations:
    """``migrator`` does the work; the rest says what there is and where. ``restore_points`` is a directory."""

    migrator: Migrator
    migrations: tuple[Migration, ...]
    parse: Parse
    directory: Path
    table: str
    restore_points: Path


def retry_dice() -> Random:
    """For the delays between two attempts at a lock: nothing that anybody could exploit."""
    return Random()  # noqa: S311


def read_checked(path: str) -> tuple[Path, tuple[Migration, ...]]:
    """The files of ``database.migrations.path``, checked against their ``bibd.sum`` when there is one.

    Raises ConfigError when no path is set, BibdError for what is wrong with the files.
    """
    if not path:
        raise ConfigError(
            "no migrations are configured", "set database.migrations.path to a folder of NNNNNN_name.up.sql files"
        )
    directory = Path(path)
    migrations = read(directory)
    sums.verify(directory, migrations)
    return directory, migrations
