"""What is said of a statement is what PostgreSQL does with it."""

from __future__ import annotations

import psycopg
import pytest

from bibd.migrations.postgres_script import parse
from bibd.migrations.script import Statement
from tests.migrations.conftest import Connect

PATH = "000001_a.up.sql"


def one(sql: str) -> Statement:
    (statement,) = parse(sql, PATH).statements
    return statement


# Each kind on a line of its own, in a database where all of them succeed outside of a transaction, or fail for
# another reason than one.
_PREPARED = """
    CREATE TABLE t (a int PRIMARY KEY, b int);
    CREATE INDEX i ON t (b);
    CREATE TABLE p (a int) PARTITION BY RANGE (a);
    CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (1) TO (10);
    CREATE TYPE mood AS ENUM ('sad');
    CREATE PROCEDURE quiet() LANGUAGE sql AS 'SELECT 1';
    CREATE PUBLICATION pub FOR TABLE t;
    CREATE SUBSCRIPTION sub CONNECTION 'host=/nonexistent' PUBLICATION pub WITH (connect = false);
    CREATE SUBSCRIPTION enabled CONNECTION 'host=/nonexistent' PUBLICATION pub WITH (connect = false);
    CREATE MATERIALIZED VIEW m AS SELECT 1 AS a;
    CREATE SEQUENCE s;
"""
_KINDS = (
    "CREATE INDEX CONCURRENTLY j ON t (b)",
    "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (b)",
    "CREATE INDEX j ON t (b)",
    "DROP INDEX CONCURRENTLY i",
    "DROP INDEX CONCURRENTLY IF EXISTS nothing",
    "DROP INDEX i",
    "REINDEX INDEX CONCURRENTLY i",
    "REINDEX (CONCURRENTLY) TABLE t",
    "REINDEX (CONCURRENTLY off) TABLE t",
    "REINDEX (VERBOSE, CONCURRENTLY true) TABLE t",
    "REINDEX TABLE t",
    "REINDEX SCHEMA public",
    "REINDEX DATABASE",
    "REINDEX SYSTEM",
    "VACUUM",
    "VACUUM (ANALYZE) t",
    "VACUUM FULL t",
    "ANALYZE t",
    "CLUSTER",
    "CLUSTER t USING t_pkey",
    "CREATE DATABASE other",
    "DROP DATABASE IF EXISTS other",
    "ALTER DATABASE postgres SET TABLESPACE pg_default",
    "ALTER DATABASE postgres SET work_mem = '5MB'",
    "CREATE TABLESPACE ts LOCATION '/nonexistent'",
    "DROP TABLESPACE IF EXISTS ts",
    "ALTER SYSTEM SET work_mem = '5MB'",
    "ALTER SYSTEM RESET work_mem",
    "ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY",
    "ALTER TABLE p DETACH PARTITION p1",
    "ALTER TABLE t ADD COLUMN c int, ALTER b SET NOT NULL",
    "CREATE SUBSCRIPTION new CONNECTION 'host=/nonexistent' PUBLICATION pub",
    "CREATE SUBSCRIPTION new CONNECTION 'host=/nonexistent' PUBLICATION pub WITH (connect = false)",
    "CREATE SUBSCRIPTION new CONNECTION 'host=/nonexistent' PUBLICATION pub WITH (connect = 0, slot_name = NONE)",
    "CREATE SUBSCRIPTION new CONNECTION 'host=/nonexistent' PUBLICATION pub WITH (create_slot = 1)",
    "ALTER SUBSCRIPTION enabled REFRESH PUBLICATION",
    "ALTER SUBSCRIPTION enabled SET PUBLICATION pub",
    "ALTER SUBSCRIPTION enabled ADD PUBLICATION other",
    "ALTER SUBSCRIPTION sub SET PUBLICATION pub WITH (refresh = false)",
    "ALTER SUBSCRIPTION sub SET (failover = true)",
    "ALTER SUBSCRIPTION sub SET (two_phase = true)",
    "ALTER SUBSCRIPTION sub SET (two_phase = false)",
    "ALTER SUBSCRIPTION sub SET (binary = true)",
    "ALTER SUBSCRIPTION sub OWNER TO postgres",
    "DROP SUBSCRIPTION sub",
    "ALTER TYPE mood ADD VALUE 'happy'",
    "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'",
    "REFRESH MATERIALIZED VIEW m",
    "CALL quiet()",
    "DO $$ BEGIN PERFORM 1; END $$",
    "CREATE EXTENSION IF NOT EXISTS plpgsql",
    "CREATE ROLE somebody",
    "TRUNCATE t",
    "LOCK TABLE t",
    "CHECKPOINT",
    "SET search_path = public",
    "DISCARD TEMP",
    "SELECT nextval('s')",
)


@pytest.mark.parametrize("sql", _KINDS)
def test_not_transactional_is_exactly_what_the_server_refuses_in_a_transaction(sql: str, connect: Connect) -> None:
    connection = connect("postgres")
    connection.execute(_PREPARED.encode())
    # Of a subscription only what is enabled may refresh; its worker fails to connect, which is nothing to us.
    connection.execute(b"ALTER SUBSCRIPTION enabled SET (slot_name = 'x')")
    connection.execute(b"ALTER SUBSCRIPTION enabled ENABLE")
    try:
        connection.execute(b"BEGIN")
        try:
            connection.execute(sql.encode())
            refused = False
        except psycopg.errors.ActiveSqlTransaction as error:  # 25001: "… cannot run inside a transaction block"
            refused = True
            assert "transaction block" in str(error)
        assert one(sql).in_transaction is not refused
        assert parse(sql, PATH).transactional is not refused
    finally:
        connection.execute(b"ROLLBACK")
        for name in (b"sub", b"enabled"):
            connection.execute(b"ALTER SUBSCRIPTION %s DISABLE" % name)
            connection.execute(b"ALTER SUBSCRIPTION %s SET (slot_name = NONE)" % name)
            connection.execute(b"DROP SUBSCRIPTION %s" % name)


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TYPE mood ADD VALUE 'happy'",
        "ALTER TYPE mood ADD VALUE 'happy'; INSERT INTO t VALUES ('happy')",
        "ALTER TYPE mood ADD VALUE 'it''s'; INSERT INTO t VALUES ('it''s')",
        "ALTER TYPE mood ADD VALUE 'happy'; INSERT INTO t VALUES ('sad')",
        "INSERT INTO t VALUES ('sad'); ALTER TYPE mood ADD VALUE 'happy'",
        "ALTER TYPE mood ADD VALUE 'happy'; ALTER TABLE t ALTER m SET DEFAULT 'happy'",
        "ALTER TYPE mood ADD VALUE 'happy'; CREATE TABLE u (m mood); COMMENT ON TYPE mood IS 'happy'",
        "ALTER TYPE mood ADD VALUE 'happy'; SELECT lower('HAPPY')::mood",
        "ALTER TYPE mood ADD VALUE 'happy'; DO $$ BEGIN INSERT INTO t VALUES ('happy'); END $$",
        "ALTER TYPE mood ADD VALUE 'happy'; ALTER TYPE mood ADD VALUE 'glad' AFTER 'happy'",
        "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'; INSERT INTO t VALUES ('blue')",
        "CREATE TYPE new AS ENUM ('a'); ALTER TYPE new ADD VALUE 'b'; SELECT 'b'::new",
        "CREATE TYPE s.new AS ENUM (); ALTER TYPE s.new ADD VALUE 'b'; SELECT 'b'::s.new",
    ],
)
def test_an_enum_value_and_its_use_are_not_transactional_exactly_when_the_server_refuses(
    sql: str, connect: Connect
) -> None:
    script = parse(sql, PATH)
    assert all(statement.in_transaction for statement in script.statements)
    connection = connect()
    connection.execute(b"CREATE SCHEMA s; CREATE TYPE mood AS ENUM ('sad'); CREATE TABLE t (m mood)")
    connection.execute(b"BEGIN")
    try:
        for statement in script.statements:
            connection.execute(statement.text.encode())
        refused = False
    except psycopg.errors.UnsafeNewEnumValueUsage:
        refused = True
    assert script.transactional is not refused
    connection.execute(b"ROLLBACK")
    for statement in script.statements:
        connection.execute(statement.text.encode())


def test_what_a_concurrent_index_statement_leaves_invalid_is_named(connect: Connect) -> None:
    names = {
        "CREATE INDEX CONCURRENTLY i ON t (a)": "i",
        'CREATE INDEX CONCURRENTLY "I" ON app.t (a)': 'app."I"',
        'CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS "a""b" ON "Order".t (a)': '"Order"."a""b"',
        'CREATE INDEX CONCURRENTLY "order" ON "select".t (a)': '"select"."order"',
        "DROP INDEX CONCURRENTLY app.i": "app.i",
        "CREATE INDEX CONCURRENTLY ON t (a)": None,
        "CREATE INDEX i ON t (a)": None,
        "DROP INDEX i": None,
    }
    assert {sql: one(sql).object for sql in names} == names
    for name in filter(None, names.values()):
        assert connect().execute(f"SELECT to_regclass($${name}$$)".encode()).fetchone() == (None,), "it is a name"


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE INDEX CONCURRENTLY i ON t (a)",
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a)",
        "DROP INDEX CONCURRENTLY i",
        "DROP INDEX CONCURRENTLY IF EXISTS i",
        "DROP DATABASE IF EXISTS d",
        "DROP SUBSCRIPTION IF EXISTS s",
        "REINDEX INDEX CONCURRENTLY i",
        "VACUUM FULL t",
        "CLUSTER",
        "ALTER SYSTEM SET work_mem = '5MB'",
        "ALTER SUBSCRIPTION s REFRESH PUBLICATION",
        "CREATE TABLE IF NOT EXISTS t (a int)",
        "CREATE OR REPLACE VIEW v AS SELECT 1",
        "ALTER TYPE e ADD VALUE IF NOT EXISTS 'x'",
        "ALTER TABLE t ADD COLUMN IF NOT EXISTS a int, DROP COLUMN IF EXISTS b",
        "SET search_path = app",
    ],
)
def test_what_may_run_twice_is_restart_safe(sql: str) -> None:
    assert one(sql).restart == "safe"


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE INDEX CONCURRENTLY ON t (a)",
        "CREATE DATABASE d",
        "CREATE TABLESPACE s LOCATION '/x'",
        "CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p",
        "ALTER SUBSCRIPTION s ADD PUBLICATION p",
        "ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY",
        "ALTER TABLE t ADD COLUMN IF NOT EXISTS a int, DROP COLUMN b",
        "ALTER TABLE IF EXISTS t DROP COLUMN b",
        "CALL p()",
        "INSERT INTO t VALUES (1)",
        "UPDATE t SET a = a + 1",
        "CREATE TEMP TABLE IF NOT EXISTS t (a int)",
    ],
)
def test_what_may_not_run_twice_is_unsafe(sql: str) -> None:
    assert one(sql).restart == "unsafe"


def test_what_ends_with_the_session_is_marked() -> None:
    lasting = [
        "SET search_path = app",
        "SET ROLE app",
        "RESET ALL",
        "SELECT pg_catalog.set_config('search_path', '', false)",
        "LOAD 'auto_explain'",
        "CREATE TEMP TABLE t (a int)",
        "CREATE TEMP TABLE t AS SELECT 1",
        "SELECT 1 INTO TEMP t",
        "CREATE TEMP VIEW v AS SELECT 1",
        "CREATE TABLE pg_temp.t (a int)",
        "CREATE TEMP SEQUENCE s",
        "PREPARE p AS SELECT 1",
    ]
    passing = ["SET LOCAL lock_timeout = 1", "SET TRANSACTION READ ONLY", "SELECT 1", "CREATE TABLE t (a int)"]
    assert [one(sql).session for sql in lasting] == [True] * len(lasting)
    assert [one(sql).session for sql in passing] == [False] * len(passing)
