"""Take over a database that golang-migrate has migrated."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from bibd.errors import BibdError, RefusedError
from bibd.migrations.backend import Foreign, Insert
from bibd.migrations.lock import Executor
from bibd.migrations.plan import Applied
from bibd.migrations.source import Migration

# golang-migrate's table has these columns alone and at most one row: the newest applied version.
_COLUMNS = {"version", "dirty"}
_SELECT = "SELECT version, dirty FROM {table}"


def find_in_postgres(session: Executor, table: str) -> Foreign | None:
    """``table`` in the search path, as golang-migrate makes it; None also when nothing was applied yet."""
    quoted = '"' + table.replace('"', '""') + '"'
    found = session.execute(
        b"SELECT c.oid::regclass::text, array_agg(a.attname::text) FROM pg_class c"
        b" JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
        b" WHERE c.oid = to_regclass(%s) AND c.relkind IN ('r', 'p') GROUP BY c.oid",
        (quoted,),
    ).fetchone()
    if found is None or set(found[1]) != _COLUMNS:
        return None
    name = str(found[0])
    row = session.execute(_SELECT.format(table=name).encode()).fetchone()
    return Foreign(name, int(row[0]), bool(row[1])) if row else None


def find_in_sqlite(connection: sqlite3.Connection, table: str) -> Foreign | None:
    quoted = '"' + table.replace('"', '""') + '"'
    columns = {row[1] for row in connection.execute(f"PRAGMA main.table_info({quoted})")}
    if columns != _COLUMNS:
        return None
    row = connection.execute(_SELECT.format(table=f"main.{quoted}")).fetchone()
    return Foreign(table, int(row[0]), bool(row[1])) if row else None


def refusal(found: Foreign) -> RefusedError:
    """What to say to one who does not ask for it."""
    return RefusedError(
        f"golang-migrate has migrated this database (table {found.table}: version {found.version}"
        f"{', dirty' if found.dirty else ''})",
        "take it over, its migrations count as applied then: bib admin migrate up --adopt",
    )


def adopted_rows(found: Foreign, available: Sequence[Migration], applied_by: str) -> tuple[Insert, ...]:
    """The rows that say what golang-migrate's table says, with the checksums of the files as they are now.

    Raises BibdError when its version is dirty, or has no file here.
    """
    if found.dirty:
        raise BibdError(
            f"golang-migrate left version {found.version} dirty (table {found.table}): it failed half-way",
            "bring the schema to a version V by hand, `migrate force V` with golang-migrate, then adopt",
        )
    if all(migration.version != found.version for migration in available):
        raise BibdError(
            f"golang-migrate is at version {found.version} (table {found.table}), which has no file here",
            "set database.migrations.path to the directory that it was given",
        )
    return tuple(
        Insert(
            Applied(
                version=migration.version,
                name=migration.name,
                checksum=migration.checksum,
                down_checksum=migration.down_checksum,
            ),
            f"golang-migrate, adopted by {applied_by}",
        )
        for migration in available
        if migration.version <= found.version
    )
