"""A migration that stopped goes on by itself only where that is provably right."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibd.migrations.dirty import assess
from bibd.migrations.plan import Applied
from bibd.migrations.postgres_script import parse
from bibd.migrations.script import Script

TABLE = "CREATE TABLE t (a int)"
INDEX = "CREATE INDEX CONCURRENTLY i ON t (a)"
UNNAMED = "CREATE INDEX CONCURRENTLY ON t (a)"
DATABASE = "CREATE DATABASE d"
SET = "SET search_path = app"
TEMPORARY = "CREATE TEMP TABLE x (a int)"
VACUUM = "VACUUM t"


def script(*statements: str) -> Script:
    return parse(";\n".join(statements), "000005_a.up.sql")


def stopped(file: Script, done: int, *, recorded: int | None = None) -> Applied:
    """``recorded``: how many hashes the row has."""
    hashes = tuple(statement.sha256 for statement in file.statements)
    return Applied(
        version=5,
        name="a",
        checksum="",
        applied=False,
        done=done,
        statements=len(file.statements),
        transactional=False,
        step_hashes=hashes[:recorded],
    )


class Case(NamedTuple):
    file: tuple[str, ...]
    done: int
    safe: bool
    said: str


@pytest.mark.parametrize(
    "case",
    [
        Case((VACUUM, TABLE), 0, True, "Statement 1 (VACUUM, line 1) may have taken effect or not, and may run again"),
        Case((VACUUM, TABLE), 1, True, "Statement 2 (CREATE TABLE, line 2) did not take effect"),
        Case((TABLE, INDEX), 1, True, "An invalid index i that it left is dropped first. It goes on with statement 2"),
        Case((TABLE, UNNAMED), 1, False, "may have taken effect or not, and is not made to run twice"),
        Case((TABLE, DATABASE), 1, False, "Statement 2 (CREATE DATABASE, line 2) may have taken effect or not"),
        Case((TABLE, DATABASE), 0, True, "did not take effect: it runs in one transaction with its record"),
        Case((TABLE, DATABASE), 2, True, "Only the record that it is complete is missing"),
        Case((TEMPORARY, VACUUM), 1, False, "made something that ended with its session"),
    ],
)
def test_it_goes_on_by_itself_exactly_where_that_is_safe(case: Case) -> None:
    file = script(*case.file)
    found = assess(stopped(file, case.done), file)
    assert (found.safe, found.resume_at) == (case.safe, case.done)
    assert case.said in found.why
    assert f"Migration 000005_a (up) stopped: {case.done} of {len(case.file)} statements are finished." in found.why
    assert ("With your consent" in found.why) is not case.safe


def test_what_was_set_in_the_session_is_set_again_first() -> None:
    file = script(SET, TABLE, "RESET search_path", VACUUM, SET)
    assert assess(stopped(file, 3), file).repeat == (0, 2)
    assert assess(stopped(file, 0), file).repeat == ()


def test_a_finished_statement_that_was_changed_since_is_doubt() -> None:
    before, now = script(TABLE, VACUUM, INDEX), script("CREATE TABLE t (a bigint)", VACUUM, INDEX)
    found = assess(stopped(before, 2), now)
    assert not found.safe
    assert "statement 1 (CREATE TABLE, line 1) is not the one that ran" in found.why.lower().replace(
        "create table", "CREATE TABLE"
    )
    assert assess(stopped(before, 0), now).safe is False, "it may have been under way"


def test_what_comes_later_may_be_corrected() -> None:
    before = script(TABLE, INDEX, "UPDATE t SET b = 1")
    corrected = script(TABLE, INDEX, "UPDATE t SET a = 1", VACUUM)
    assert assess(stopped(before, 1), corrected).safe
    assert assess(stopped(before, 0), corrected).safe


def test_a_statement_may_be_put_before_the_one_that_was_under_way() -> None:
    before = script(TABLE, "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)")
    corrected = script(TABLE, "DELETE FROM t WHERE a IS NULL", "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)")
    found = assess(stopped(before, 1), corrected)
    assert (found.safe, found.resume_at) == (True, 1)
    assert "It goes on with statement 2 (DELETE FROM, line 2)." in found.why


def test_when_the_one_that_was_under_way_is_gone_its_leftovers_are_unknown() -> None:
    before, now = script(TABLE, INDEX), script(TABLE, "CREATE INDEX CONCURRENTLY other ON t (a)")
    found = assess(stopped(before, 1), now)
    assert (found.safe, found.resume_at) == (False, 1)
    assert "not in the file any more" in found.why
    assert not assess(stopped(before, 1), script(TABLE)).safe


def test_without_a_record_of_the_one_under_way_it_is_the_next_of_the_file() -> None:
    before, now = script(VACUUM, "UPDATE t SET b = 1"), script(VACUUM, "UPDATE t SET a = 1")
    assert assess(stopped(before, 1, recorded=1), now).safe
    assert not assess(stopped(before, 1, recorded=1), script(VACUUM, DATABASE)).safe
    assert assess(stopped(before, 2, recorded=2), now).safe is False, "the second is not the one that ran"


def test_a_file_that_has_become_shorter_and_a_record_that_is_not_whole_are_doubt() -> None:
    before = script(TABLE, VACUUM, INDEX)
    found = assess(stopped(before, 2), script(TABLE))
    assert (found.safe, found.resume_at) == (False, 1)
    assert "has only 1" in found.why
    found = assess(replace(stopped(before, 2), step_hashes=()), before)
    assert (found.safe, found.resume_at) == (False, 2)
    assert "not recorded" in found.why


_STATEMENTS = st.lists(
    st.sampled_from([TABLE, INDEX, UNNAMED, DATABASE, SET, TEMPORARY, VACUUM]), min_size=1, max_size=6
)


@given(before=_STATEMENTS, now=_STATEMENTS, data=st.data())
def test_safe_never_means_that_a_doubtful_statement_runs_or_a_finished_one_is_another(
    before: list[str], now: list[str], data: st.DataObject
) -> None:
    done = data.draw(st.integers(0, len(before)))
    old, new = script(*before), script(*(now if data.draw(st.booleans()) else before))
    found = assess(stopped(old, done), new)
    assert found.resume_at <= len(new.statements)
    assert found.why
    assert all(new.statements[index].session for index in found.repeat)
    if found.safe:
        assert found.resume_at == done
        assert [s.text for s in new.statements[:done]] == before[:done]
        assert TEMPORARY not in before[:done]
        if done < len(before):
            begun = old.statements[done]
            assert begun.in_transaction or begun.restart == "safe"
            assert begun.text in [s.text for s in new.statements[done:]]
    elif before == [s.text for s in new.statements]:
        begun_unsafe = done < len(before) and before[done] in {UNNAMED, DATABASE}
        assert begun_unsafe or TEMPORARY in before[:done]
