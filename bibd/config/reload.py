"""What a running daemon can take over from a changed configuration, and what needs a restart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, cast

from bibd.config import fields
from bibd.config.model import Section, Settings

S = TypeVar("S", bound=Section)

# Keys, or sections of them, that are read anew each time they are needed.
LIVE: tuple[str, ...] = (
    "server.shutdown_timeout",
    "server.drain_timeout",
    "log.level",
    "log.redact_fields",
    "database.postgres.health",
    "database.postgres.stop_on_shutdown",
    "database.postgres.checkpoint_on_shutdown",
)


@dataclass(frozen=True, slots=True)
class Changes:
    """Dotted keys that differ, in the order of the model."""

    live: tuple[str, ...]
    restart: tuple[str, ...]


def is_live(key: str) -> bool:
    """Whether a change of the dotted ``key`` takes effect without a restart."""
    return any(key == live or key.startswith(f"{live}.") for live in LIVE)


def compare(old: Settings, new: Settings) -> Changes:
    """What differs between ``old`` and ``new``."""
    changed = [key for key in fields.fields() if fields.value(old, key) != fields.value(new, key)]
    return Changes(
        live=tuple(key for key in changed if is_live(key)),
        restart=tuple(key for key in changed if not is_live(key)),
    )


def live_only(old: Settings, new: Settings) -> Settings:
    """``old`` with what is live of ``new``: what a daemon works with after a reload."""
    taken = old
    for key in compare(old, new).live:
        taken = _with(taken, key.split("."), fields.value(new, key))
    return taken


def _with(section: S, path: list[str], value: object) -> S:
    head, *rest = path
    if rest:
        value = _with(cast("Section", getattr(section, head)), rest, value)
    return section.model_copy(update={head: value})
