"""Restore points: what they hold, that they restore, and that a failure is one."""

from __future__ import annotations

import re
import sqlite3
import stat
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from bibd.errors import BibdError
from bibd.migrations.engine import Cancelled
from bibd.migrations.plan import Down
from bibd.migrations.postgres_script import parse, touched
from bibd.migrations.restore_point import PostgresRestorePoint, SqliteRestorePoint
from bibd.migrations.source import Migration
from bibd.postgres.endpoint import Endpoint
from tests.migrations.conftest import Connect
from tests.migrations.scenario import Server, migrations_in, migrator, query, run

AT = datetime(2026, 11, 22, 1, 2, 3, 4, tzinfo=UTC)
SHOP = {
    "000001_shop.up": """
        CREATE TYPE size AS ENUM ('s', 'l');
        CREATE TABLE customers (id int PRIMARY KEY, name text);
        CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers ON DELETE CASCADE, size size);
        CREATE TABLE log (at date, what text) PARTITION BY RANGE (at);
        CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
        CREATE TABLE "Odd.Name$" (x int);
        INSERT INTO customers VALUES (1, 'one'), (2, 'two');
        INSERT INTO orders VALUES (10, 1, 's');
        INSERT INTO log VALUES ('2026-05-05', 'x');
        INSERT INTO "Odd.Name$" VALUES (7);
    """,
}

Point = Callable[..., PostgresRestorePoint]


@pytest.fixture
def point(server: Server, dbname: str, connect: Connect, tmp_path: Path) -> Point:
    def new(
        target: Endpoint | None = None, binaries: Path | None = None, directory: Path | None = None
    ) -> PostgresRestorePoint:
        return PostgresRestorePoint(
            connect(),
            target or server.endpoint(dbname, "postgres"),
            binaries=binaries or server.binaries,
            directory=directory or tmp_path / "backups" / "restore-points",
            touched=touched,
            lock_timeout=1.0,
            now=lambda: AT,
        )

    return new


def take(point: PostgresRestorePoint, sql: str, migration: Migration) -> Path:
    return point.take(migration, parse(sql, "down.sql"), threading.Event())


@pytest.fixture
def shop(connect: Connect, tmp_path: Path) -> tuple[Migration, ...]:
    migrations = migrations_in(tmp_path / "m", SHOP)
    run(migrator(connect(), migrations))
    return migrations


def rows_in(server: Server, path: Path) -> set[str]:
    """The tables whose rows the dump holds."""
    listing = server.tool("pg_restore", "--list", path)
    return {match[1] for match in re.finditer(r"TABLE DATA \S+ (.+) \w+$", listing, re.MULTILINE)}


EVERYTHING = {"customers", "orders", "log_1", "Odd.Name$", "schema_migrations"}


@pytest.mark.parametrize(
    ("sql", "held"),
    [
        ("ALTER TABLE customers DROP name", {"customers", "orders"}),
        ("DROP TABLE orders", {"orders"}),
        ("DROP TABLE log", {"log_1"}),
        ('DROP TABLE IF EXISTS "Odd.Name$", missing', {"Odd.Name$"}),
        ("DROP INDEX missing", set[str]()),
        ("DO $$ BEGIN DELETE FROM log; END $$", EVERYTHING),
        ("DROP TABLE customers CASCADE", EVERYTHING),
    ],
)
def test_it_holds_what_is_touched_and_what_hangs_on_it(
    server: Server, point: Point, shop: tuple[Migration, ...], sql: str, held: set[str]
) -> None:
    path = take(point(), sql, shop[0])
    assert path.name == "20261122T010203.000004Z_000001_shop.dump"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]
    assert rows_in(server, path) == held


def test_a_table_with_a_trigger_may_change_any_other(
    server: Server, point: Point, connect: Connect, shop: tuple[Migration, ...]
) -> None:
    connect().execute(
        b"CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN old; END';"
        b"CREATE TRIGGER t BEFORE DELETE ON orders FOR EACH ROW EXECUTE FUNCTION f()"
    )
    assert rows_in(server, take(point(), "DELETE FROM orders", shop[0])) == EVERYTHING


def test_it_brings_back_what_a_down_has_dropped(
    server: Server, dbname: str, point: Point, connect: Connect, shop: tuple[Migration, ...], tmp_path: Path
) -> None:
    del shop
    files = {
        **SHOP,
        "000002_drop.up": "SELECT 1",
        "000002_drop.down": "ALTER TABLE customers DROP name; DROP TABLE log",
    }
    session = connect()
    found = migrator(session, migrations_in(tmp_path / "m", files), restore_point=point())
    run(found)
    before = server.schema(dbname)
    outcome = run(found, Down(1))
    assert query(session, "SELECT to_regclass('log')") == [(None,)]
    (path,) = outcome.restore_points
    server.tool("pg_restore", "--clean", "--if-exists", "--single-transaction", "-d", dbname, path)
    assert server.schema(dbname) == before


def test_the_password_is_in_no_argument_and_no_environment(
    server: Server, point: Point, shop: tuple[Migration, ...], tmp_path: Path
) -> None:
    fake = tmp_path / "bin" / "pg_dump"
    fake.parent.mkdir()
    fake.write_text(
        '#!/bin/sh\necho "$@" > "$(dirname "$0")/said"; env >> "$(dirname "$0")/said"\n'
        'stat -c %a "$PGPASSFILE" > "$(dirname "$0")/mode"\n'
        f'exec {server.binaries}/pg_dump "$@"\n'
    )
    fake.chmod(0o755)
    take(point(binaries=fake.parent), "DROP TABLE log", shop[0])
    said = (fake.parent / "said").read_text()
    assert "cr" + chr(92) + "et" not in said
    assert "PGPASSFILE=" in said
    assert (fake.parent / "mode").read_text() == "600\n"
    password_file = re.search("PGPASSFILE=(.*)", said)
    assert password_file is not None
    assert not Path(password_file[1]).parent.exists()


def test_a_failure_is_one_and_leaves_no_file(
    server: Server,
    dbname: str,
    point: Point,
    connect: Connect,
    shop: tuple[Migration, ...],
    tmp_path: Path,
) -> None:
    directory = tmp_path / "points"
    wrong = replace(server.endpoint(dbname, "postgres"), password="no")
    with pytest.raises(BibdError, match="password authentication failed"):
        take(point(target=wrong, directory=directory), "DROP TABLE log", shop[0])
    with pytest.raises(BibdError, match="pg_dump does not run: No such file"):
        take(point(binaries=tmp_path, directory=directory), "DROP TABLE log", shop[0])
    holder = connect()
    holder.execute(b"BEGIN; LOCK TABLE log")
    with pytest.raises(BibdError, match="due to statement timeout"):
        take(point(directory=directory), "DROP TABLE log", shop[0])
    holder.execute(b"ROLLBACK")
    assert list(directory.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(BibdError, match=r"the restore point .* failed"):
        take(point(directory=tmp_path / "file" / "below"), "DROP TABLE log", shop[0])
    taken = take(point(directory=directory), "DROP TABLE log", shop[0])
    with pytest.raises(BibdError, match="File exists"):
        take(point(directory=directory), "DROP TABLE log", shop[0])
    assert list(directory.iterdir()) == [taken]


def test_cancel_ends_a_dump_that_waits(
    point: Point, connect: Connect, shop: tuple[Migration, ...], tmp_path: Path
) -> None:
    holder: psycopg.Connection = connect()
    holder.execute(b"BEGIN; LOCK TABLE log")
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        point(directory=tmp_path / "p").take(shop[0], parse("DROP TABLE log", "x"), cancel)
    assert list((tmp_path / "p").iterdir()) == []


def test_sqlite_is_copied_whole_while_it_is_in_use(shop_file: sqlite3.Connection, tmp_path: Path) -> None:
    migration = migrations_in(tmp_path / "m", {"1_a.up": ""})[0]
    taken = SqliteRestorePoint(shop_file, directory=tmp_path / "points", now=lambda: AT).take(
        migration, parse("SELECT 1", "x"), threading.Event()
    )
    assert taken.name == "20261122T010203.000004Z_1_a.db"
    assert stat.S_IMODE(taken.stat().st_mode) == 0o600
    with closing(sqlite3.connect(taken)) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert copy.execute("SELECT count(*) FROM t").fetchone() == (5000,)
    assert list(taken.parent.iterdir()) == [taken]
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        SqliteRestorePoint(shop_file, directory=tmp_path / "points").take(migration, parse("SELECT 1", "x"), cancel)
    assert list(taken.parent.iterdir()) == [taken]


@pytest.fixture
def shop_file(tmp_path: Path, request: pytest.FixtureRequest) -> sqlite3.Connection:
    connection = sqlite3.connect(tmp_path / "shop.db", isolation_level=None)
    request.addfinalizer(connection.close)
    connection.execute("CREATE TABLE t (x, y)")
    connection.execute(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
        " INSERT INTO t SELECT i, hex(randomblob(1000)) FROM n"
    )
    return connection
