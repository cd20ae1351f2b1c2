"""A set as an application collects it goes up, down and up again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bibd.migrations.plan import Down, Goto, Up
from bibd.migrations.postgres_script import touched
from bibd.migrations.restore_point import PostgresRestorePoint
from tests.migrations.conftest import Connect
from tests.migrations.scenario import Server, migrations_in, migrator, query, run
from tests.migrations.shop import SHOP, shop_files


@pytest.fixture
def reader(server: Server) -> Iterator[None]:
    with server.connect("postgres", "postgres") as admin:
        admin.execute(b"CREATE ROLE shop_reader")
        yield
        # Default privileges and grants went with the databases.
        admin.execute(b"DROP ROLE shop_reader")


@pytest.fixture
def dbname(reader: None, dbname: str) -> str:
    """Dropped before the role is."""
    del reader
    return dbname


def without_rows(schema: str) -> str:
    return re.sub(r"^COPY .*?^\\\.\n", "", schema, flags=re.MULTILINE | re.DOTALL)


def test_thirty_migrations_go_up_down_and_up_again_to_the_same_schema(
    server: Server, dbname: str, connect: Connect, tmp_path: Path
) -> None:
    session = connect()
    found = migrator(session, migrations_in(tmp_path, shop_files()))
    assert len(SHOP) == 30
    found.force(0)  # makes the state table, which stays
    empty = server.schema(dbname)

    first = run(found)
    assert (first.state, first.version) == ("clean", 30)
    up = server.schema(dbname)
    assert run(found, Goto(0)).version == 0
    assert server.schema(dbname) == empty
    assert run(found).version == 30
    assert without_rows(server.schema(dbname)) == without_rows(up)
    assert rows(session) == {"customers": 100, "orders": 364, "products": 200, "reviews": 200}


def test_every_single_step_can_be_undone_and_repeated(
    server: Server, dbname: str, connect: Connect, tmp_path: Path
) -> None:
    found = migrator(connect(), migrations_in(tmp_path, shop_files()))
    found.force(0)
    for _ in SHOP:
        before = without_rows(server.schema(dbname))
        run(found, Up(1))
        after = without_rows(server.schema(dbname))
        run(found, Down(1))
        assert in_any_order(without_rows(server.schema(dbname))) == in_any_order(before)
        run(found, Up(1))
        assert in_any_order(without_rows(server.schema(dbname))) == in_any_order(after)
    assert found.status().state == "clean"


def test_a_restore_point_brings_back_what_a_long_way_down_has_removed(
    server: Server, dbname: str, connect: Connect, tmp_path: Path
) -> None:
    session = connect()
    point = PostgresRestorePoint(
        connect(),
        server.endpoint(dbname, "postgres"),
        binaries=server.binaries,
        directory=tmp_path / "points",
        touched=touched,
        lock_timeout=5,
    )
    found = migrator(session, migrations_in(tmp_path / "m", shop_files()), restore_point=point)
    run(found)
    before = rows(session)
    outcome = run(found, Down(10))
    assert len(outcome.restore_points) == 10
    assert query(session, "SELECT to_regclass('shop.reviews')") == [(None,)]
    # The newest one undone was the first to be kept: the table of reviews.
    server.tool("pg_restore", "-d", dbname, outcome.restore_points[0])
    assert rows(session)["reviews"] == before["reviews"] == 200


def rows(session: Any) -> dict[str, int]:
    tables = ("customers", "orders", "products", "reviews")
    return {table: query(session, f"SELECT count(*) FROM shop.{table}")[0][0] for table in tables}  # noqa: S608


def in_any_order(schema: str) -> list[str]:
    """A column that was dropped and made again comes last."""
    return sorted(line.strip().rstrip(",") for line in schema.splitlines())
