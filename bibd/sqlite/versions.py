"""Which SQLite library can be trusted with a write-ahead log.

Source: https://sqlite.org/wal.html#walresetbug (the "WAL-reset bug", found 2026-03-03): when one connection
checkpoints at the very moment in which another one starts the log anew, a later checkpoint may skip committed pages,
and the database is corrupt. In every release from 3.7.0 (2010-07-21) to 3.51.2; fixed in 3.51.3 and, as backports,
in 3.50.7 and 3.44.6 (https://sqlite.org/releaselog/3_51_3.html). Only databases in WAL mode with two or more
connections are concerned.
"""

from __future__ import annotations

Version = tuple[int, int, int]


def has_wal_reset_bug(version: Version) -> bool:
    """Judged by the number alone: a distribution that patched an older release cannot be told from one that did not."""
    if version < (3, 7, 0) or version >= (3, 51, 3):
        return False
    return not ((3, 44, 6) <= version < (3, 45, 0) or (3, 50, 7) <= version < (3, 51, 0))
