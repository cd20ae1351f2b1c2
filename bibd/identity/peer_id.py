"""The node id: the libp2p peer id of an Ed25519 public key.

Source: libp2p specification "Peer Ids and Keys", https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md
"""

from __future__ import annotations

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
# Identity multihash (0x00) of 36 (0x24) bytes: the protobuf message PublicKey{Type: Ed25519 (1), Data: 32 bytes}.
_PREFIX = bytes.fromhex("002408011220")

# All ids of Ed25519 keys begin with the same eight characters, so the end is what tells two nodes apart.
_SHORT = 8


def peer_id(public: bytes) -> str:
    """``12D3KooW…`` (52 characters) for the 32 bytes of an Ed25519 public key. Raises ValueError for another length."""
    if len(public) != 32:
        raise ValueError(f"an Ed25519 public key has 32 bytes, not {len(public)}")
    return _base58(_PREFIX + public)


def short_id(node_id: str) -> str:
    """Enough of a node id for a person to tell nodes apart, for log lines."""
    return node_id[-_SHORT:]


def _base58(data: bytes) -> str:
    number, digits = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        digits = _ALPHABET[digit] + digits
    return _ALPHABET[0] * (len(data) - len(data.lstrip(b"\0"))) + digits
