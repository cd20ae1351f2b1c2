"""Applied against available: what is pending, or why they do not fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibd.errors import BibdError, IntegrityError
from bibd.migrations.plan import Applied, pending
from bibd.migrations.source import Migration


def available(count: int) -> tuple[Migration, ...]:
    return tuple(Migration(n, f"m{n}", f"SELECT {n}", None, f"sum{n}") for n in range(1, count + 1))


def applied(*versions: int) -> list[Applied]:
    return [Applied(n, f"m{n}", f"sum{n}") for n in versions]


@given(done=st.integers(0, 20), more=st.integers(0, 20), order=st.randoms())
def test_pending_is_what_follows_the_applied_ones_whatever_their_order(
    done: int, more: int, order: st.DataObject
) -> None:
    rows = applied(*range(1, done + 1))
    order.shuffle(rows)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    assert [m.version for m in pending(rows, available(done + more))] == list(range(done + 1, done + more + 1))


@given(done=st.sets(st.integers(1, 12)), count=st.integers(0, 12))
def test_any_other_set_of_versions_is_refused(done: set[int], count: int) -> None:
    fits = done == set(range(1, len(done) + 1)) and len(done) <= count
    if fits:
        pending(applied(*done), available(count))
    else:
        with pytest.raises(BibdError):
            pending(applied(*done), available(count))


def test_a_database_of_a_newer_bibd_is_refused() -> None:
    with pytest.raises(BibdError, match="schema version 3, this bibd knows 2") as refused:
        pending(applied(1, 2, 3), available(2))
    assert "newer bibd" in refused.value.hint


def test_an_edited_migration_is_an_integrity_error() -> None:
    with pytest.raises(IntegrityError, match="m1 was changed after it had been applied"):
        pending([Applied(1, "m1", "another sum")], available(2))


def test_a_hole_in_the_version_table_is_an_integrity_error() -> None:
    with pytest.raises(IntegrityError, match="m1 was never applied"):
        pending(applied(2), available(2))
