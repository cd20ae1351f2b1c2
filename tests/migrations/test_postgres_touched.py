"""Which relations a down file may harm, as far as its text tells."""

from __future__ import annotations

import pytest

from bibd.migrations.postgres_script import parse, touched


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("", ()),
        ("DROP TABLE t", ("t",)),
        ('DROP TABLE IF EXISTS app."T", "order", t', ('"order"', 'app."T"', "t")),
        ("DROP VIEW v; DROP MATERIALIZED VIEW m; DROP SEQUENCE s; DROP FOREIGN TABLE f", ("f", "m", "s", "v")),
        ("ALTER TABLE t DROP COLUMN a", ("t",)),
        ("ALTER TABLE t ADD COLUMN a int, ALTER b TYPE text", ("t",)),
        ("ALTER TABLE p DETACH PARTITION p1", ("p",)),
        ("ALTER TABLE t RENAME COLUMN a TO b", ("t",)),
        ("ALTER TABLE t RENAME TO u", ("t",)),
        ("ALTER TABLE t SET SCHEMA app", ("t",)),
        ("ALTER SEQUENCE s RESTART", ("s",)),
        ("TRUNCATE a, app.b", ("a", "app.b")),
        ("DELETE FROM t USING u", ("t",)),
        ("UPDATE t SET a = lower(b) FROM u", ("t",)),
        ("INSERT INTO t SELECT * FROM u", ("t",)),
        ("MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE", ("t",)),
        ("WITH gone AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM gone", ("a", "b")),
        ("WITH gone AS (DELETE FROM a RETURNING *) SELECT * FROM gone", ("a",)),
        ("CREATE TABLE kept AS WITH gone AS (SELECT 1) SELECT * FROM gone", ()),
        ("EXPLAIN ANALYZE DELETE FROM t", ("t",)),
        ("COPY t FROM '/x'", ("t",)),
        ("CREATE OR REPLACE VIEW v AS SELECT 1", ("v",)),
        ("REFRESH MATERIALIZED VIEW m", ("m",)),
        # Structure alone: the files have it.
        ("DROP INDEX i; DROP TRIGGER g ON t; DROP FUNCTION f(); DROP TYPE e; DROP SCHEMA s; DROP POLICY p ON t", ()),
        ("ALTER TABLE t ADD COLUMN a int, DROP CONSTRAINT c, ALTER b SET NOT NULL, OWNER TO x", ()),
        ("CREATE TABLE t (a int); CREATE INDEX i ON t (a); COMMENT ON TABLE t IS ''; GRANT SELECT ON t TO x", ()),
        ("CREATE FUNCTION f() RETURNS void LANGUAGE sql BEGIN ATOMIC DELETE FROM t; END", ()),
        ("CREATE RULE r AS ON INSERT TO t DO ALSO DELETE FROM u", ()),
        ("SELECT 1; SET search_path = app", ()),
    ],
)
def test_the_relations_that_may_lose_rows_or_columns_are_named(sql: str, tables: tuple[str, ...]) -> None:
    found = touched(parse(sql, "down.sql"))
    assert (found.tables, found.everything) == (tables, False)


@pytest.mark.parametrize(
    "sql",
    [
        "DO $$ BEGIN DELETE FROM t; END $$",
        "CALL p()",
        "SELECT drop_old_rows()",
        "SELECT a, setval('s', 1) FROM t",
        "EXECUTE p",
        "DROP SCHEMA app CASCADE",
        "DROP TABLE t CASCADE",
        "DROP TYPE e CASCADE",
        "DROP EXTENSION postgis",
        "DROP OWNED BY somebody",
        "DROP DATABASE other",
        "TRUNCATE t CASCADE",
        "ALTER TABLE t DROP COLUMN a CASCADE",
        "SET search_path = app; DROP TABLE t",
        "SET ROLE app; DELETE FROM t",
        "SELECT set_config('search_path', 'app', true); DROP TABLE t",
    ],
)
def test_where_the_text_does_not_tell_it_is_everything(sql: str) -> None:
    assert touched(parse(sql, "down.sql")).everything


def test_a_schema_qualified_name_means_the_same_after_set_search_path() -> None:
    assert not touched(parse("SET search_path = ''; DROP TABLE app.t", "down.sql")).everything
    assert not touched(parse("DROP TABLE t; SET search_path = app", "down.sql")).everything
