"""Generated passwords, sealed at rest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from bibd.errors import IntegrityError
from bibd.identity.sealed import SealedFile, SealingKey

PURPOSE = "passwords"


class SealedVault:
    """One JSON object of strings in a sealed file, mode 0600: the ``Vault`` of bibd.postgres.vault."""

    def __init__(self, path: Path, key: SealingKey) -> None:
        self._file = SealedFile(path, key, "bibd then sets new passwords at its next start")

    def get(self, name: str) -> str | None:
        """Raises IntegrityError when the file is damaged or of another node."""
        return self._read().get(name)

    def put(self, entries: Mapping[str, str]) -> None:
        """Returns when they are on disk, all of them or none."""
        content = {**self._read(), **entries}
        self._file.write(json.dumps(content, sort_keys=True).encode())

    def _read(self) -> dict[str, str]:
        raw = self._file.read()
        if raw is None:
            return {}
        content: object = json.loads(raw)
        if not isinstance(content, dict):
            # Authentic, so it was written like this: a defect, and no reason to overwrite it.
            raise IntegrityError(f"{self._file.path} does not hold passwords", f"move it away: {self._file.loss}")
        return cast(dict[str, str], content)
