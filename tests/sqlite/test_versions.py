"""The versions named by https://sqlite.org/wal.html#walresetbug."""

from __future__ import annotations

import pytest

from bibd.sqlite.versions import Version, has_wal_reset_bug


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ((3, 6, 23), False),  # no WAL yet
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 44, 7), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 0), True),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 53, 0), False),
        ((4, 0, 0), False),
    ],
)
def test_wal_is_trusted_exactly_where_the_bug_is_fixed(version: Version, affected: bool) -> None:
    assert has_wal_reset_bug(version) is affected
