"""Applied against available: what runs and in which order, or why they do not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibd.errors import BibdError, IntegrityError, UsageError
from bibd.migrations.plan import Applied, DirtyError, Down, Goal, Goto, Plan, Up, UpAll, plan, state
from bibd.migrations.source import Migration
from tests.migrations.samples import dirty, migration, row


class Case(NamedTuple):
    available: tuple[Migration, ...]
    applied: tuple[Applied, ...]
    """In any order."""


_SEQUENCES = st.tuples(st.integers(1, 50), st.integers(0, 12)).map(lambda at: list(range(at[0], at[0] + at[1])))
_TIMESTAMPS = st.lists(st.integers(20_200_101_000_000, 20_301_231_235_959), unique=True, max_size=12).map(sorted)


@st.composite
def consistent(draw: st.DrawFn) -> Case:
    versions = draw(_SEQUENCES | _TIMESTAMPS | st.tuples(_SEQUENCES, _TIMESTAMPS).map(lambda both: both[0] + both[1]))
    available = tuple(migration(version) for version in versions)
    done = draw(st.integers(0, len(available)))
    return Case(available, tuple(draw(st.permutations([row(m) for m in available[:done]]))))


def goals(available: Sequence[Migration]) -> st.SearchStrategy[Goal]:
    return st.one_of(
        st.just(UpAll()),
        st.builds(Up, st.integers(1, 15)),
        st.builds(Down, st.integers(1, 15)),
        st.builds(Goto, st.sampled_from([0, *(m.version for m in available)])),
    )


def after(applied: Sequence[Applied], found: Plan) -> list[int]:
    """The applied versions when the steps have run; each must be possible where it stands."""
    versions = [r.version for r in applied]
    for step in found.steps:
        if step.direction == "up":
            assert step.migration.version > max(versions, default=0)
            versions.append(step.migration.version)
        else:
            assert step.migration.version == max(versions)
            versions.remove(step.migration.version)
        assert step.why
    return sorted(versions)


def wanted(case: Case, goal: Goal) -> list[int] | None:
    """The versions that ``goal`` means; None: there is no such state."""
    versions, done = [m.version for m in case.available], len(case.applied)
    match goal:
        case UpAll():
            return versions
        case Up(count):
            return versions[: done + count]
        case Down(count):
            return versions[: done - count] if count <= done else None
        case Goto(version):
            return [v for v in versions if v <= version]


@given(data=st.data(), case=consistent())
def test_the_steps_lead_to_the_goal_and_are_none_exactly_when_it_is_reached(data: st.DataObject, case: Case) -> None:
    goal = data.draw(goals(case.available))
    expected = wanted(case, goal)
    if expected is None:
        with pytest.raises(UsageError, match="cannot be undone"):
            plan(case.applied, case.available, goal)
        return
    found = plan(case.applied, case.available, goal)
    assert after(case.applied, found) == expected
    assert (found.steps == ()) == (expected == sorted(r.version for r in case.applied))
    assert len({step.direction for step in found.steps}) <= 1, "never both ways"


@given(case=consistent())
def test_down_after_up_is_the_exact_reverse(case: Case) -> None:
    up = plan(case.applied, case.available, UpAll())
    everything = [row(m) for m in case.available]
    if up.steps:
        down = plan(everything, case.available, Down(len(up.steps)))
        assert [s.migration for s in down.steps] == [s.migration for s in reversed(up.steps)]
        newest = max((r.version for r in case.applied), default=0)
        back = plan(everything, case.available, Goto(newest))
        assert [s.migration for s in back.steps] == [s.migration for s in down.steps]


@given(case=consistent(), data=st.data())
def test_every_inconsistency_is_raised_whatever_the_goal_and_seen_in_the_state(case: Case, data: st.DataObject) -> None:
    available, applied = list(case.available), sorted(case.applied, key=lambda r: r.version)
    kinds = ["dirty", "edited", "missing"] if applied else []
    kinds += ["newer"] if applied else []
    kinds += ["out of order"] if len(applied) > 1 else []
    if not kinds:
        return
    kind = data.draw(st.sampled_from(kinds))
    index = data.draw(st.integers(0, len(applied) - (2 if kind == "out of order" else 1)))
    match kind:
        case "dirty":
            applied[index] = dirty(available[index])
        case "edited":
            applied[index] = replace(applied[index], checksum="0" * 64)
        case "missing":
            del available[index]
        case "newer":
            del available[index:]
        case _:
            del applied[index]
    goal = data.draw(goals(case.available))
    with pytest.raises(BibdError) as refused:
        plan(applied, available, goal)
    assert refused.value.hint
    seen = state(applied, available)
    assert seen.state == ("dirty" if kind == "dirty" else "mismatch")
    assert refused.value.message in seen.action


@given(case=consistent())
def test_the_state_is_clean_exactly_when_nothing_is_pending(case: Case) -> None:
    seen = state(case.applied, case.available)
    left = len(case.available) - len(case.applied)
    assert (seen.state, seen.pending) == ("pending" if left else "clean", left)
    assert seen.version == max((r.version for r in case.applied), default=0)
    assert bool(seen.action) == bool(left)


def available(count: int) -> tuple[Migration, ...]:
    return tuple(migration(version) for version in range(1, count + 1))


def test_a_database_newer_than_the_files_is_refused() -> None:
    with pytest.raises(BibdError, match="it has 000003_m3, they end with 000002_m2") as refused:
        plan([row(1), row(2), row(3)], available(2), UpAll())
    assert "restore a backup" in refused.value.hint
    with pytest.raises(BibdError, match="it has 000001_m1, there are none"):
        plan([row(1)], (), UpAll())


def test_an_edited_applied_file_is_an_integrity_error_and_a_renamed_one_is_none() -> None:
    with pytest.raises(IntegrityError, match="000001_m1 was changed after it had been applied"):
        plan([replace(row(1), checksum="0" * 64)], available(2), UpAll())
    assert len(plan([replace(row(1), name="before")], available(2), UpAll()).steps) == 1


def test_a_missing_applied_file_is_an_integrity_error() -> None:
    with pytest.raises(IntegrityError, match="000001_m1 is applied, but its file is missing"):
        plan([row(1), row(2)], available(3)[1:], UpAll())


def test_a_new_file_below_the_newest_applied_one_is_out_of_order() -> None:
    with pytest.raises(BibdError, match="000002_m2 is out of order: not applied, but 000003_m3 after it is") as refused:
        plan([row(1), row(3)], available(4), UpAll())
    assert "a number after 4" in refused.value.hint


def test_dirty_comes_first_and_names_the_version_and_the_way_out() -> None:
    rows = [replace(row(1), checksum="0" * 64), dirty(2)]
    with pytest.raises(DirtyError, match=r"000002_m2 \(up\) stopped after 1 of 3 statements") as refused:
        plan(rows, available(3), UpAll())
    assert refused.value.row == rows[1]
    seen = state(rows, available(3))
    assert (seen.state, seen.version, seen.pending) == ("dirty", 2, 2)
    assert "bib admin migrate --reset" in seen.action


def test_a_missing_down_file_is_refused_before_a_later_one_is_undone() -> None:
    files = (migration(1), migration(2, down=False), migration(3))
    rows = [row(m) for m in files]
    assert [s.migration.version for s in plan(rows, files, Down(1)).steps] == [3]
    for goal in (Down(2), Down(3), Goto(1), Goto(0)):
        with pytest.raises(BibdError, match=r"000002_m2 cannot be undone: it has no \.down\.sql") as refused:
            plan(rows, files, goal)
        assert "000002_m2.down.sql" in refused.value.hint


def test_a_down_file_changed_since_runs_and_says_so() -> None:
    (same, changed) = plan([replace(row(1), down_checksum="0" * 64), row(2)], available(2), Down(2)).steps
    assert "changed" not in same.why
    assert "its down file was changed since it was applied" in changed.why


@pytest.mark.parametrize("goal", [Up(0), Up(-1), Down(0), Down(-3), Goto(9), Goto(-1)])
def test_a_goal_that_means_nothing_is_a_usage_error(goal: Goal) -> None:
    with pytest.raises(UsageError):
        plan([row(1)], available(2), goal)
