"""Where generated passwords are kept."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Protocol


class Vault(Protocol):
    """Keeps secrets by name. ``put`` returns when they are on disk, all of them or none."""

    def get(self, name: str) -> str | None: ...

    def put(self, entries: Mapping[str, str]) -> None: ...


def new_password() -> str:
    """256 bits from the system's generator, in characters that need no quoting anywhere."""
    return secrets.token_urlsafe(32)
