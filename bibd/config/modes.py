"""Which mode of a node goes with which database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bibd.config.model import Backend, Mode


@dataclass(frozen=True, slots=True)
class Verdict:
    """``note`` is why not when not ``allowed``, else a warning ("" = none)."""

    allowed: bool
    note: str = ""


VERDICTS: Mapping[tuple[Mode, Backend], Verdict] = MappingProxyType(
    {
        ("full", "postgres"): Verdict(allowed=True),
        ("full", "sqlite"): Verdict(allowed=False, note="SQLite cannot be authoritative"),
        ("selective", "postgres"): Verdict(allowed=True),
        ("selective", "sqlite"): Verdict(allowed=True, note="limited: a cache only, no data is distributed"),
        ("proxy", "postgres"): Verdict(allowed=True, note="wasteful: a proxy needs no PostgreSQL, sqlite would do"),
        ("proxy", "sqlite"): Verdict(allowed=True),
    }
)

MISMATCH_HINT = "set database.backend to postgres, or mode to selective or proxy"


def verdict(mode: Mode, backend: Backend) -> Verdict:
    """Whether a node in ``mode`` may run on ``backend``."""
    return VERDICTS[mode, backend]
