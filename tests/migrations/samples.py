"""Migrations and rows of the state table that were never files."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from bibd.migrations.plan import Applied
from bibd.migrations.source import Migration


def migration(version: int, *, down: bool = True) -> Migration:
    up_sql, down_sql = f"SELECT {version}", f"SELECT -{version}"
    stem = f"/migrations/{version:06}_m{version}"
    return Migration(
        version=version,
        name=f"m{version}",
        up=up_sql,
        down=down_sql if down else None,
        checksum=sha256(up_sql.encode()).hexdigest(),
        down_checksum=sha256(down_sql.encode()).hexdigest() if down else None,
        up_path=Path(f"{stem}.up.sql"),
        down_path=Path(f"{stem}.down.sql") if down else None,
    )


def row(of: Migration | int) -> Applied:
    """The row that ``of`` leaves."""
    of = migration(of) if isinstance(of, int) else of
    return Applied(of.version, of.name, of.checksum, of.down_checksum, done=1, statements=1)


def dirty(of: Migration | int) -> Applied:
    return replace(row(of), applied=False, done=1, statements=3, transactional=False)
