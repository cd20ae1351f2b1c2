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
