"""The last lines of the server's log, for an error message."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

_VERIFIER = re.compile(r"SCRAM-SHA-256\$\S+")
_PASSWORD = re.compile(r"(?i)(password\s*=?\s*)('(?:[^']|'')*'|\"[^\"]*\")")


def size(path: Path) -> int:
    """0 when there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def since(path: Path, offset: int, *, limit: int = 16384) -> str:
    """What was written after ``offset`` bytes, at most the last ``limit`` bytes of it."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            file.seek(max(offset if offset <= end else 0, end - limit))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def tail(text: str, secrets: Iterable[str], *, lines: int = 8) -> str:
    """The last lines that say something, without secrets."""
    for secret in secrets:
        text = text.replace(secret, "[redacted]")
    text = _PASSWORD.sub(r"\1[redacted]", _VERIFIER.sub("[redacted]", text))
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])


# All of these words, and what to do then; the first row that fits counts.
_HINTS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("No space left on device",), "free some space on the disk of the data directory"),
    (("insufficient file descriptors",), "raise the limit of open files (ulimit -n, LimitNOFILE=)"),
    (
        ("postgresql.auto.conf", "contains errors"),
        "ALTER SYSTEM wrote postgresql.auto.conf: correct or remove the line in question there",
    ),
    (("configuration file", "contains errors"), "correct database.postgres.settings"),
    (("has invalid permissions",), "chmod 700 that directory"),
    (
        ("shared memory", "still in use"),
        "processes of an earlier server still run, maybe in another container: stop them",
    ),
    (("could not map anonymous shared memory",), "lower database.postgres.memory_mb"),
)


def hint(text: str) -> str:
    """What to do about the last words of a server or of initdb; "" when nothing better than reading them is known."""
    return next((what for words, what in _HINTS if all(word in text for word in words)), "")
