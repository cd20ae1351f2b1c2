"""The node's identity, and the keys derived from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bibd.identity.peer_id import peer_id, short_id
from bibd.identity.sealed import SealingKey

if TYPE_CHECKING:
    from bibd.identity.wrap import PrivateKey

SEED_BYTES = 32

# HKDF's info strings (docs/identity.md has the table). Each names one use for ever: what another use needs is another
# string, and one that has been in a release never gets a new meaning.
_INFO_SEALING = "bibd identity 1 sealing "
_INFO_WRAPPING = "bibd identity 1 wrapping"


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """``seed`` is the private key of RFC 8032 (32 bytes); ``node_id`` the libp2p peer id of its public key."""

    seed: bytes = field(repr=False)
    node_id: str

    @classmethod
    def of(cls, seed: bytes) -> NodeIdentity:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return cls(seed, peer_id(Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()))

    @property
    def short_id(self) -> str:
        return short_id(self.node_id)

    def sealing_key(self, purpose: str) -> SealingKey:
        """For one kind of file that stays on this node; ``purpose`` is a word."""
        return SealingKey(purpose, self.node_id, self._derive(_INFO_SEALING + purpose))

    def wrapping_key(self) -> PrivateKey:
        """This node's own key pair for data keys."""
        from bibd.identity.wrap import PrivateKey

        return PrivateKey(self._derive(_INFO_WRAPPING))

    def _derive(self, info: str) -> bytes:
        # RFC 5869; no salt, since the seed is uniformly random (section 3.1).
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        return HKDF(SHA256(), 32, None, info.encode()).derive(self.seed)
