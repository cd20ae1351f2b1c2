"""Where generated passwords are kept."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast

from bibd.durable import write_file
from bibd.errors import IntegrityError


class Vault(Protocol):
    """Keeps secrets by name. ``put`` returns when they are on disk, all of them or none."""

    def get(self, name: str) -> str | None: ...

    def put(self, entries: Mapping[str, str]) -> None: ...


class FileVault:
    """One JSON object in a file of mode 0600."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, name: str) -> str | None:
        """Raises IntegrityError when the file cannot be understood."""
        return self._read().get(name)

    def put(self, entries: Mapping[str, str]) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = {**self._read(), **entries}
        write_file(self._path, json.dumps(content, indent=1, sort_keys=True).encode() + b"\n")

    def _read(self) -> dict[str, str]:
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        try:
            content: object = json.loads(raw)
        except ValueError:
            content = None
        if not isinstance(content, dict) or not all(
            isinstance(value, str) for value in cast(dict[str, object], content).values()
        ):
            raise IntegrityError(
                f"the password file {self._path} is damaged",
                "restore it, or move it away: bibd then sets new passwords at its next start",
            )
        return cast(dict[str, str], content)


def new_password() -> str:
    """256 bits from the system's generator, in characters that need no quoting anywhere."""
    return secrets.token_urlsafe(32)
