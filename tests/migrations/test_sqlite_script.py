"""What is said of a file for SQLite is what SQLite does with it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibd.migrations.script import ScriptError, Statement
from bibd.migrations.sqlite_script import parse

PATH = "000001_a.up.sql"


def one(sql: str) -> Statement:
    (statement,) = parse(sql, PATH).statements
    return statement


def test_statements_are_cut_at_their_semicolons_without_comments_before() -> None:
    sql = (
        "-- é: a comment;\n"
        "CREATE TABLE é (x int); /* ü; */\r\n"
        "\tINSERT INTO é VALUES (';') ;;;\n"
        "CREATE TRIGGER g AFTER INSERT ON é BEGIN SELECT 1; SELECT CASE WHEN 1 THEN 2 END; END; SELECT 1;\n"
        "SELECT 2 -- the last\n"
    )
    found = parse(sql, PATH).statements
    assert [(s.index, s.line, s.column, s.kind) for s in found] == [
        (0, 2, 1, "CREATE TABLE"),
        (1, 3, 2, "INSERT INTO"),
        (2, 4, 1, "CREATE TRIGGER"),
        (3, 4, 88, "SELECT"),
        (4, 5, 1, "SELECT"),
    ]
    assert found[1].text == "INSERT INTO é VALUES (';')"
    assert found[2].text.endswith("2 END; END")


_WHOLE = st.sampled_from(
    [
        "SELECT ';' AS \"a;\"",
        "SELECT 'it''s;' -- é;\n, [b;c], `d;`",
        'CREATE TABLE "é;" (x /* ; */ int)',
        "CREATE TEMP TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; UPDATE t SET a = CASE WHEN 1 THEN 2 END; END",
        "INSERT INTO t VALUES ('-- no comment'), ('/* nor this')",
    ]
)
_BETWEEN = st.sampled_from([";", " ;\n", ";;\r\n", "; -- it's; a comment\n", ";/* that's; one */ "])


@given(parts=st.lists(st.tuples(_WHOLE, _BETWEEN), max_size=5), last=st.sampled_from(["", "SELECT 2", "-- end;"]))
def test_statements_are_found_as_they_were_joined(parts: list[tuple[str, str]], last: str) -> None:
    sql = "".join(text + between for text, between in parts) + last
    found = [s.text for s in parse(sql, PATH).statements]
    assert found == [text for text, _ in parts] + (["SELECT 2"] if last == "SELECT 2" else [])


@pytest.mark.parametrize("sql", ["", "\n", ";", " ; ;\n", "-- only a comment", "/* é */;"])
def test_a_file_may_have_no_statements(sql: str) -> None:
    script = parse(sql, PATH)
    assert (script.statements, script.transactional) == ((), True)


@pytest.mark.parametrize(
    ("sql", "line", "column", "said"),
    [
        ("SELECT 1;\nSELCT 2;", 2, 1, 'near "SELCT": syntax error'),
        ("-- é€𝄞\nSELECT 'é€𝄞 FROM', FROM t;", 2, 20, 'near "FROM": syntax error'),
        ("SELECT 1;\r\n\r\n\tSELECT ) ;", 3, 9, 'near ")": syntax error'),
        ("CREATE TABLE t (\n  a int, -- here, and\n  b int,,\n);", 3, 9, 'near ",": syntax error'),
        ("INSERT INTO t VALUES (1, 2), (3, 4),, (5, 6);", 1, 37, 'near ",": syntax error'),
        ("DROP TABLE xy, y, x z;", 1, 14, 'near ",": syntax error'),
        ("SELECT a AS b b b", 1, 15, 'near "b": syntax error'),
        ("SELECT 1;\nCREATE TABLE t (a int\n", 2, 22, "the statement ends too early"),
        ("SELECT 1;\nCREATE TABLE t (a int;", 2, 22, "the statement ends too early"),
        ("SELECT 'é', 'abc", 1, 13, 'unrecognized token: "\'abc"'),
        ("SELECT 1, 0x, 2;", 1, 11, 'unrecognized token: "0x"'),
        ("SELECT 1;\n.read other.sql\n", 2, 1, ".read is a command of the sqlite3 shell, not SQL"),
        # Hidden behind a table that does not exist yet.
        ("CREATE TRIGGER g AFTER INSERT ON t BEGIN\n  SELECT 1;\n  SELECTT 2;\nEND;", 3, 3, 'near "SELECTT"'),
        ("ALTER TABLE t ADD COLUMN , b", 1, 26, 'near ",": syntax error'),
        ("EXPLAIN SELECT FROM t", 1, 16, 'near "FROM": syntax error'),
    ],
)
def test_an_error_says_file_line_and_column(sql: str, line: int, column: int, said: str) -> None:
    with pytest.raises(ScriptError) as refused:
        parse(sql, PATH)
    assert refused.value.message.startswith(f"{PATH}:{line}:{column}: {said}")
    assert refused.value.hint


_NOISE = st.text("aé€𝄞 ;'\"\t\\,", max_size=12)


@given(lines=st.lists(_NOISE, max_size=4), end=st.sampled_from(["\n", "\r\n"]), before=_NOISE)
def test_columns_are_exact_whatever_characters_come_before(lines: list[str], end: str, before: str) -> None:
    literal = before.replace("'", "''")
    sql = "".join(f"-- {line}{end}" for line in lines) + f"SELECT '{literal}',, 'FROM'; "
    with pytest.raises(ScriptError) as refused:
        parse(sql, PATH)
    assert (refused.value.line, refused.value.column) == (len(lines) + 1, len(f"SELECT '{literal}',") + 1)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO nowhere VALUES (1)",
        "SELECT absent FROM nowhere, elsewhere WHERE unheard_of(1)",
        "CREATE TABLE t (a int); CREATE TABLE t (a int)",
        "DROP VIEW v",
        "CREATE VIRTUAL TABLE f USING nomodule(a)",
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION SELECT x + 1 FROM c LIMIT 3) INSERT INTO t SELECT x FROM c",
        "CREATE TRIGGER g INSTEAD OF UPDATE ON v BEGIN UPDATE t SET a = new.a; END",
        "ALTER TABLE t RENAME COLUMN a TO b",
        "ATTACH 'x' AS y; CREATE TABLE y.t (a); DETACH y",
        "CREATE TABLE temp.x (a)",
    ],
)
def test_names_are_not_looked_up(sql: str) -> None:
    assert parse(sql, PATH).statements


def test_a_long_file_takes_time_in_proportion() -> None:
    rows = 20_000
    began = time.monotonic()
    assert len(parse("SELECT 'é;';\n" * rows, PATH).statements) == rows
    with pytest.raises(ScriptError, match=f"{PATH}:20001:11: near"):
        parse("SELECT 'é;';\n" * rows + f"SELECT 1, , {'2, ' * rows} 3", PATH)
    assert time.monotonic() - began < 10  # 0.7 s


def test_looking_at_a_file_runs_nothing_of_it(tmp_path: Path) -> None:
    target = tmp_path / "made.db"
    parse(
        f"PRAGMA temp_store_directory = '{tmp_path}'; ATTACH '{target}' AS a; CREATE TABLE a.t (x);"
        f" VACUUM INTO '{target}';",
        PATH,
    )
    assert list(tmp_path.iterdir()) == []
    with closing(sqlite3.connect(":memory:")) as connection:
        assert connection.execute("PRAGMA temp_store_directory").fetchall() in ([], [("",)])


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A transaction has begun and has written."""
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("CREATE TABLE t (a)")
        connection.execute(f"ATTACH '{tmp_path / 'b.db'}' AS b")
        connection.execute("CREATE TEMP TABLE temporary_storage_is_in_use (a)")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.execute("INSERT INTO temporary_storage_is_in_use VALUES (1)")
        yield connection


@pytest.mark.parametrize(
    "sql",
    [
        "VACUUM",
        "VACUUM main INTO '/nonexistent/x.db'",
        "DETACH b",
        "PRAGMA synchronous = OFF",
        "PRAGMA main.synchronous(1)",
        "PRAGMA temp_store = MEMORY",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "CREATE INDEX i ON t (a)",
        "CREATE TEMP TABLE x (a)",
        "ALTER TABLE t ADD COLUMN b",
        "REINDEX",
        "ANALYZE",
        "PRAGMA user_version = 7",
        "PRAGMA foreign_key_check",
        "PRAGMA synchronous",
        "PRAGMA defer_foreign_keys = ON",
        "PRAGMA optimize",
        "PRAGMA cache_size = 100",
    ],
)
def test_not_transactional_is_exactly_what_sqlite_refuses_in_a_transaction(
    sql: str, database: sqlite3.Connection
) -> None:
    try:
        database.execute(sql).fetchall()
        refused = False
    except sqlite3.OperationalError:
        refused = True
    assert one(sql).in_transaction is not refused
    assert parse(sql, PATH).transactional is not refused


@pytest.mark.parametrize(("pragma", "value"), [("foreign_keys", "OFF"), ("journal_mode", "DELETE")])
def test_so_is_what_sqlite_ignores_in_one(pragma: str, value: str, database: sqlite3.Connection) -> None:
    before = database.execute(f"PRAGMA {pragma}").fetchone()
    database.execute(f"PRAGMA {pragma} = {value}").fetchall()
    assert database.execute(f"PRAGMA {pragma}").fetchone() == before
    assert not one(f"PRAGMA {pragma} = {value}").in_transaction
    assert one(f"pragma main . {pragma}(OFF)").in_transaction is False
    assert one(f"PRAGMA {pragma}").in_transaction


def test_one_transaction_around_everything_is_left_out() -> None:
    for begin, commit in (("BEGIN", "COMMIT"), ("begin immediate transaction", "END TRANSACTION;")):
        script = parse(f"{begin};\nSELECT 1;\nSAVEPOINT s; ROLLBACK TO s;\n{commit}", PATH)
        assert [s.text for s in script.statements] == ["SELECT 1", "SAVEPOINT s", "ROLLBACK TO s"]
        assert script.transactional


@pytest.mark.parametrize(
    ("sql", "column", "said"),
    [
        ("PRAGMA foreign_keys=OFF; BEGIN; SELECT 1; COMMIT", 26, "BEGIN is not for a migration"),
        ("BEGIN; SELECT 1; ROLLBACK", 1, "BEGIN is not for a migration"),
        ("SELECT 1; END", 11, "END is not for a migration"),
        ("BEGIN; VACUUM; COMMIT", 8, "VACUUM runs in no transaction, and BEGIN … COMMIT is around it"),
        ("SAVEPOINT s; VACUUM", 1, "SAVEPOINT is not for a migration"),
    ],
)
def test_other_transaction_control_is_refused(sql: str, column: int, said: str) -> None:
    with pytest.raises(ScriptError) as refused:
        parse(sql, PATH)
    assert refused.value.message.startswith(f"{PATH}:1:{column}: {said}")


def test_the_mark_makes_a_file_run_statement_by_statement() -> None:
    marked = parse("-- bibd: no-transaction\r\nINSERT INTO t VALUES (1);", PATH)
    assert not marked.transactional
    assert marked.statements[0].in_transaction
    for sql in ("SELECT '\n-- bibd: no-transaction\n';", "/* -- bibd: no-transaction */ SELECT 1"):
        assert parse(sql, PATH).transactional


def test_what_may_run_twice_and_what_ends_with_the_connection() -> None:
    told = {
        "VACUUM": ("safe", False),
        "VACUUM INTO 'x.db'": ("unsafe", False),
        "CREATE TABLE IF NOT EXISTS t (a)": ("safe", False),
        "CREATE UNIQUE INDEX IF NOT EXISTS i ON t (a)": ("safe", False),
        "DROP TABLE IF EXISTS t": ("safe", False),
        "DROP TABLE t": ("unsafe", False),
        "INSERT INTO t VALUES (1)": ("unsafe", False),
        "PRAGMA foreign_keys = OFF": ("safe", True),
        "PRAGMA foreign_keys": ("safe", False),
        "PRAGMA user_version = 3": ("safe", False),
        "ATTACH 'x.db' AS x": ("safe", True),
        "CREATE TEMP TABLE IF NOT EXISTS t (a)": ("unsafe", True),
        "CREATE TABLE temp.t (a)": ("unsafe", True),
    }
    assert {sql: (one(sql).restart, one(sql).session) for sql in told} == told
