"""What PostgreSQL's parser says of a file is what PostgreSQL does with it."""

from __future__ import annotations

import subprocess
import sys
import time

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibd.migrations.postgres_script import parse, touched
from bibd.migrations.script import ScriptError
from tests.migrations.conftest import Connect

PATH = "000001_a.up.sql"


def test_statements_are_cut_where_the_parser_ends_them_without_comments_around() -> None:
    sql = (
        "-- é: a comment;\n"
        "CREATE TABLE é (x int); /* ü; /* nested; */ */\r\n"
        "\tINSERT INTO é VALUES (1) -- trailing\n;;\n"
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END; "
        "DO $$ BEGIN PERFORM 1; END $$;\n"
        "CREATE RULE r AS ON INSERT TO é DO ALSO (SELECT 1; SELECT 2);\n"
        "SELECT ';' -- the last\n"
    )
    found = parse(sql, PATH).statements
    assert [(s.line, s.column, s.kind) for s in found] == [
        (2, 1, "CREATE TABLE"),
        (3, 2, "INSERT INTO"),
        (5, 1, "CREATE FUNCTION"),
        (5, 84, "DO"),
        (6, 1, "CREATE RULE"),
        (7, 1, "SELECT"),
    ]
    assert [s.text for s in found[:2]] == ["CREATE TABLE é (x int)", "INSERT INTO é VALUES (1)"]
    assert found[3].text == "DO $$ BEGIN PERFORM 1; END $$"
    assert found[5].text == "SELECT ';'"
    assert [s.index for s in found] == list(range(6))


_WHOLE = st.sampled_from(
    [
        "SELECT ';' AS \"a;\"",
        "SELECT E'it\\'s;' -- é;\n, U&'d\\0061;'",
        'CREATE TABLE "é;" (x /* ; /* ; */ */ int)',
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END",
        "DO $é$ BEGIN PERFORM '$$;'; END $é$",
        "INSERT INTO t VALUES ('-- no comment'), ('/* nor this')",
    ]
)
_BETWEEN = st.sampled_from([";", " ;\n", ";;\r\n", "; -- it's; a comment\n", ";/* that's; /* one */ */ "])


@given(parts=st.lists(st.tuples(_WHOLE, _BETWEEN), max_size=5), last=st.sampled_from(["", "SELECT 2", "-- end;"]))
def test_statements_are_found_as_they_were_joined(parts: list[tuple[str, str]], last: str) -> None:
    sql = "".join(text + between for text, between in parts) + last
    found = [s.text for s in parse(sql, PATH).statements]
    assert found == [text for text, _ in parts] + (["SELECT 2"] if last == "SELECT 2" else [])


@pytest.mark.parametrize("sql", ["", "\n", ";", " ; ;\n", "-- only a comment", "/* é */"])
def test_a_file_may_have_no_statements(sql: str) -> None:
    script = parse(sql, PATH)
    assert (script.statements, script.transactional) == ((), True)


@pytest.mark.parametrize(
    ("sql", "line", "column", "said"),
    [
        ("SELECT 1;\nSELCT 2;", 2, 1, 'syntax error at or near "SELCT"'),
        ("-- é€𝄞\nSELECT 'é€𝄞', FROM t;", 2, 15, 'syntax error at or near "FROM"'),
        ("SELECT 1;\r\n\r\n\tSELECT ) ;", 3, 9, 'syntax error at or near ")"'),
        ("CREATE TABLE t (\n  a int,\n  b int,\n);", 4, 1, 'syntax error at or near ")"'),
        ("SELECT 1;\nCREATE TABLE t (a int\n", 2, 22, "syntax error at end of input"),
        ("SELECT 'é', 'abc", 1, 13, 'unterminated quoted string at or near "\'abc"'),
        ("SELECT 'é', $$abc;\n", 1, 13, "unterminated dollar-quoted string"),
        ("SELECT 1e;", 1, 8, "trailing junk after numeric literal"),
        ("SELECT 1;\n  \\copy t FROM 'é.csv'\n", 2, 3, r"\copy is a command of psql, not SQL"),
        ("\\i other.sql", 1, 1, r"\i is a command of psql, not SQL"),
        ("INSERT INTO t VALUES (1);\n1\t2\n\\.\n", 2, 1, 'syntax error at or near "1"'),
        ("SELECT 1;\nCOPY t FROM STDIN;", 2, 1, "COPY … FROM STDIN needs a client"),
        ("COPY t TO STDOUT", 1, 1, "COPY … TO STDOUT needs a client"),
        ("SELECT 1; DISCARD ALL;", 1, 11, "DISCARD ALL would give up the lock"),
    ],
)
def test_an_error_says_file_line_and_column(sql: str, line: int, column: int, said: str) -> None:
    with pytest.raises(ScriptError) as refused:
        parse(sql, PATH)
    assert refused.value.message.startswith(f"{PATH}:{line}:{column}: {said}")
    assert (refused.value.line, refused.value.column) == (line, column)
    assert refused.value.hint


_NOISE = st.text("aé€𝄞 ;'\"\t\\$", max_size=12)


@given(lines=st.lists(_NOISE, max_size=4), end=st.sampled_from(["\n", "\r\n"]), before=_NOISE)
def test_columns_are_exact_whatever_characters_come_before(lines: list[str], end: str, before: str) -> None:
    literal = before.replace("'", "''")
    sql = "".join(f"-- {line}{end}" for line in lines) + f"SELECT '{literal}' FROM; "
    with pytest.raises(ScriptError) as refused:
        parse(sql, PATH)
    assert (refused.value.line, refused.value.column) == (len(lines) + 1, len(f"SELECT '{literal}' FROM") + 1)
    sql = sql.replace(" FROM; ", "; SELECT 2")
    assert parse(sql, PATH).statements[1].line == len(lines) + 1
    assert parse(sql, PATH).statements[1].column == len(f"SELECT '{literal}'; ") + 1


def test_a_position_that_the_server_counts_is_found_in_the_file(connect: Connect) -> None:
    sql = "SELECT 1;\r\n\tSELECT 'é€𝄞',\n\t  nowhere;"
    statement = parse(sql, PATH).statements[1]
    with pytest.raises(psycopg.errors.UndefinedColumn) as error:
        connect().execute(statement.text.encode())
    assert error.value.diag.statement_position is not None
    assert statement.locate(int(error.value.diag.statement_position)) == (3, 4)
    first = parse("SELECT 1; SELECT nowhere", PATH).statements[1]
    assert first.locate(8) == (1, 18)


def test_the_mark_makes_a_file_run_statement_by_statement() -> None:
    marked = parse(
        "-- bibd: no-transaction\nINSERT INTO t VALUES (1);\nCALL moves_in_parts();\nDO $$BEGIN END$$;", PATH
    )
    assert not marked.transactional
    assert [s.in_transaction for s in marked.statements] == [True, False, False], "a procedure may commit"
    assert not parse("SELECT 1; -- bibd:no-transaction \r\n", PATH).transactional
    for sql in ("SELECT '-- bibd: no-transaction';", "-- not: bibd: no-transaction\nSELECT 1", "CALL p()"):
        assert parse(sql, PATH).transactional


@pytest.mark.parametrize("begin", ["BEGIN", "begin work", "BEGIN TRANSACTION", "START TRANSACTION"])
@pytest.mark.parametrize("commit", ["COMMIT", "END", "commit work;"])
def test_one_transaction_around_everything_is_left_out(begin: str, commit: str) -> None:
    script = parse(f"-- golang-migrate\n{begin};\nSELECT 1;\nSAVEPOINT s;\n{commit}", PATH)
    assert [(s.text, s.index, s.line) for s in script.statements] == [("SELECT 1", 0, 3), ("SAVEPOINT s", 1, 4)]
    assert script.transactional
    assert parse(f"{begin}; {commit}", PATH).statements == ()


@pytest.mark.parametrize(
    ("sql", "column", "said"),
    [
        ("BEGIN; SELECT 1;", 1, "BEGIN is not for a migration"),
        ("SELECT 1; COMMIT;", 11, "COMMIT is not for a migration"),
        ("SET x.y = 1; BEGIN; SELECT 1; COMMIT;", 14, "BEGIN is not for a migration"),
        ("BEGIN; SELECT 1; COMMIT; SELECT 2", 1, "BEGIN is not for a migration"),
        ("BEGIN; SELECT 1; COMMIT; BEGIN; SELECT 2; COMMIT", 18, "COMMIT is not for a migration"),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE; COMMIT", 1, "BEGIN is not for a migration"),
        ("BEGIN; SELECT 1; COMMIT AND CHAIN", 1, "BEGIN is not for a migration"),
        ("BEGIN; SELECT 1; ROLLBACK", 1, "BEGIN is not for a migration"),
        ("PREPARE TRANSACTION 'x'", 1, "PREPARE TRANSACTION is not for a migration"),
        ("COMMIT", 1, "COMMIT is not for a migration"),
        ("SAVEPOINT s; VACUUM", 1, "SAVEPOINT is not for a migration"),
        ("BEGIN; SELECT 1; VACUUM t; COMMIT", 18, "VACUUM runs in no transaction, and BEGIN … COMMIT is around it"),
        (
            "BEGIN; ALTER TYPE e ADD VALUE 'x'; SELECT 'x'::e; END",
            8,
            "ALTER TYPE adds a value that is used in the same",
        ),
        ("BEGIN; SELECT 1; COMMIT; -- bibd: no-transaction\n", 1, "BEGIN is in a file that is marked no-transaction"),
    ],
)
def test_other_transaction_control_is_refused(sql: str, column: int, said: str) -> None:
    with pytest.raises(ScriptError) as refused:
        parse(sql, PATH)
    assert refused.value.message.startswith(f"{PATH}:1:{column}: {said}")
    assert "remove" in refused.value.hint


def test_a_long_file_takes_time_in_proportion() -> None:
    began = time.monotonic()
    found = parse("INSERT INTO t VALUES (1, 'é');\n" * 20_000, PATH).statements
    # 0.5 s; with the square of its length it was 44 s.
    assert time.monotonic() - began < 10
    assert (found[-1].line, found[-1].text) == (20_000, "INSERT INTO t VALUES (1, 'é')")


def test_a_statement_nested_beyond_what_can_be_looked_at_still_runs() -> None:
    deep = " UNION ALL ".join(["SELECT 'é'"] * 3000)
    script = parse(f"CREATE TABLE é (a int); -- é\nINSERT INTO é {deep};\n\nVACUUM é; SELECT 1", PATH)
    assert [(s.line, s.column, s.in_transaction) for s in script.statements] == [
        (1, 1, True),
        (2, 1, True),
        (4, 1, False),
        (4, 11, True),
    ]
    assert script.statements[1].text == f"INSERT INTO é {deep}"
    assert touched(script).everything


def test_the_parser_is_loaded_only_to_parse() -> None:
    code = (
        "import sys, bibd.migrations.postgres_script as s; assert 'pglast' not in sys.modules; s.parse('SELECT 1', '')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
