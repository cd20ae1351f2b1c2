"""Files that only this node can read or change: AES-256-GCM under a key derived from its identity.

``bibd sealed 1 PURPOSE NODE-ID\\n`` · 12 random bytes (nonce) · ciphertext · 16 bytes (tag). The first line is
authenticated with the rest (it is the additional data of RFC 5116), so no byte can change unnoticed.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from bibd.durable import write_file
from bibd.errors import BibdError, IntegrityError

# 2**32 random nonces are safe under one key (NIST SP 800-38D, section 8.3); a node writes a handful in its life.
_NONCE_BYTES = 12
_HEADER = rb"bibd sealed ([0-9]+) ([a-z]+) ([1-9A-HJ-NP-Za-km-z]{52})\n"


@dataclass(frozen=True, slots=True)
class SealingKey:
    purpose: str
    node_id: str
    key: bytes = field(repr=False)

    @property
    def header(self) -> bytes:
        return f"bibd sealed 1 {self.purpose} {self.node_id}\n".encode()


class SealedFile:
    """``loss`` completes "move it away: …" in errors: what that costs, and what bibd does then."""

    def __init__(self, path: Path, key: SealingKey, loss: str) -> None:
        self.path = path
        self.key = key
        self.loss = loss

    def read(self) -> bytes | None:
        """None when there is no such file.

        Raises IntegrityError when it is damaged or of another identity, BibdError when it can't be read.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BibdError(
                f"cannot read {self.path}: {error.strerror}", "check its owner and permissions (0600)"
            ) from error
        header = self.key.header
        opened = self._open(content[len(header) :])
        if opened is None or not content.startswith(header):
            raise self._refused(content, opens=opened is not None)
        return opened

    def write(self, plaintext: bytes) -> None:
        """Replace the content, durably. Raises BibdError; then the old content is still there."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce, header = os.urandom(_NONCE_BYTES), self.key.header
        sealed = AESGCM(self.key.key).encrypt(nonce, plaintext, header)
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_file(self.path, header + nonce + sealed)
        except OSError as error:
            raise BibdError(
                f"cannot write {self.path}: {error.strerror}", "free space, or check the directory's permissions"
            ) from error

    def _open(self, body: bytes) -> bytes | None:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            return AESGCM(self.key.key).decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], self.key.header)
        except (InvalidTag, ValueError):  # ValueError: a nonce cut short
            return None

    def _refused(self, content: bytes, *, opens: bool) -> IntegrityError:
        found = re.match(_HEADER, content)
        # What opens with our key is ours, whatever its first line has become.
        if found is not None and not opens:
            version, purpose, node_id = (part.decode() for part in found.groups())
            if node_id != self.key.node_id:
                return IntegrityError(
                    f"{self.path} was sealed by node {node_id}, and this is node {self.key.node_id}",
                    f"put the identity.pem of that node back, or move {self.path.name} away: {self.loss}",
                )
            if purpose == self.key.purpose and version != "1":
                return IntegrityError(
                    f"{self.path} has format {version}, this bibd knows format 1",
                    f"run the newer bibd that wrote it, or move it away: {self.loss}",
                )
        return IntegrityError(f"{self.path} is damaged", f"restore it, or move it away: {self.loss}")
