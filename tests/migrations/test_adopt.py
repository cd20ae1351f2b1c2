"""golang-migrate's table: recognised, and taken over when that can be right."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from bibd.errors import BibdError
from bibd.migrations.adopt import adopted_rows, find_in_postgres, find_in_sqlite, refusal
from bibd.migrations.backend import Foreign
from tests.migrations.conftest import Connect
from tests.migrations.samples import migration

# As golang-migrate v4 makes it (database/postgres/postgres.go, database/sqlite3/sqlite3.go).
POSTGRES = b"CREATE TABLE schema_migrations (version bigint not null primary key, dirty boolean not null)"
SQLITE = "CREATE TABLE schema_migrations (version uint64, dirty bool)"
MIGRATIONS = tuple(migration(number) for number in (1, 2, 3))


def test_the_table_of_postgres_is_found_by_its_columns_in_the_search_path(connect: Connect) -> None:
    session = connect()
    assert find_in_postgres(session, "schema_migrations") is None
    session.execute(POSTGRES)
    assert find_in_postgres(session, "schema_migrations") is None
    session.execute(b"INSERT INTO schema_migrations VALUES (7, true)")
    assert find_in_postgres(session, "schema_migrations") == Foreign("schema_migrations", 7, dirty=True)
    assert find_in_postgres(session, "other") is None
    session.execute(b'CREATE SCHEMA "A"; ALTER TABLE schema_migrations SET SCHEMA "A"')
    assert find_in_postgres(session, "schema_migrations") is None
    session.execute(b'SET search_path = "A"')
    assert find_in_postgres(session, "schema_migrations") == Foreign("schema_migrations", 7, dirty=True)
    session.execute(b"ALTER TABLE schema_migrations ADD more int")
    assert find_in_postgres(session, "schema_migrations") is None


def test_the_table_of_sqlite_is_found_by_its_columns() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        assert find_in_sqlite(connection, "schema_migrations") is None
        connection.execute(SQLITE)
        assert find_in_sqlite(connection, "schema_migrations") is None
        connection.execute("INSERT INTO schema_migrations VALUES (3, 0)")
        assert find_in_sqlite(connection, "schema_migrations") == Foreign("schema_migrations", 3, dirty=False)


def test_all_up_to_its_version_counts_as_applied_with_the_files_of_now() -> None:
    rows = adopted_rows(Foreign("schema_migrations", 2, dirty=False), MIGRATIONS, "bibd")
    assert [(row.entry.version, row.entry.checksum, row.entry.applied) for row in rows] == [
        (1, MIGRATIONS[0].checksum, True),
        (2, MIGRATIONS[1].checksum, True),
    ]
    assert rows[0].applied_by == "golang-migrate, adopted by bibd"


def test_a_dirty_version_and_one_without_a_file_are_refused() -> None:
    with pytest.raises(BibdError, match="left version 2 dirty"):
        adopted_rows(Foreign("schema_migrations", 2, dirty=True), MIGRATIONS, "bibd")
    with pytest.raises(BibdError, match="is at version 9"):
        adopted_rows(Foreign("schema_migrations", 9, dirty=False), MIGRATIONS, "bibd")
    assert "version 2, dirty" in refusal(Foreign("t", 2, dirty=True)).message
