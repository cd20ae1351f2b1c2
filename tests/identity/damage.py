"""One flipped bit at any place."""

from __future__ import annotations

from collections.abc import Iterator


def flipped(content: bytes, bit: int) -> bytes:
    """``content`` with bit number ``bit`` the other way round."""
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def every_flip(content: bytes) -> Iterator[tuple[int, bytes]]:
    """(number of the byte, damaged content) for every bit."""
    return ((bit // 8, flipped(content, bit)) for bit in range(len(content) * 8))
