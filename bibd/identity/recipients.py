"""Who else can open this node's backups: the public halves of its recovery kits."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bibd.errors import BibdError
from bibd.identity.sealed import SealedFile, SealingKey
from bibd.identity.wrap import PublicKey

PURPOSE = "recipients"


@dataclass(frozen=True, slots=True)
class Recipient:
    """``added_at`` is a time (RFC 3339)."""

    public: PublicKey
    added_at: str


class Recipients:
    """A list in a sealed file: nobody without the node's identity adds a reader of its backups. Not thread-safe."""

    def __init__(self, path: Path, key: SealingKey) -> None:
        self._file = SealedFile(path, key, "then no recovery kit is known, and new ones must be made")

    def all(self) -> tuple[Recipient, ...]:
        """Oldest first. Raises IntegrityError when the file is damaged or of another node."""
        raw = self._file.read()
        if raw is None:
            return ()
        entries: list[dict[str, Any]] = json.loads(raw)
        return tuple(
            Recipient(PublicKey(base64.b64decode(entry["public"])), str(entry["added_at"])) for entry in entries
        )

    def find(self, fingerprint: str) -> Recipient:
        """Raises BibdError when there is none."""
        for recipient in self.all():
            if recipient.public.fingerprint == fingerprint:
                return recipient
        raise BibdError(
            f"this node has no recovery kit {fingerprint}", "`bib admin recovery-kit list` shows those that it has"
        )

    def add(self, recipient: Recipient) -> None:
        """Returns when it is on disk. Raises BibdError when it is there already."""
        known = self.all()
        if recipient.public in {each.public for each in known}:
            raise BibdError(f"recovery kit {recipient.public.fingerprint} is registered already")
        self._write([*known, recipient])

    def remove(self, fingerprint: str) -> Recipient:
        """Returns what was removed, when that is on disk. Raises BibdError when there is no such kit."""
        found = self.find(fingerprint)
        self._write(each for each in self.all() if each != found)
        return found

    def _write(self, recipients: Iterable[Recipient]) -> None:
        entries = [{"public": each.public.text(), "added_at": each.added_at} for each in recipients]
        self._file.write(json.dumps(entries).encode())
