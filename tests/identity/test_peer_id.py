"""The node id is the libp2p peer id of the key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibd.identity.node import NodeIdentity
from bibd.identity.peer_id import peer_id, short_id


@pytest.mark.parametrize(
    ("seed", "public", "expected"),
    [
        # "Test vectors" of libp2p's peer-ids.md has the key pair; the id is from other implementations' tests.
        (
            "7e0830617c4a7de83925dfb2694556b12936c477a0e1feb2e148ec9da60fee7d",
            "1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e",
            "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq",
        ),
        # The seed of zeros, "the first bootstrap node" of many libp2p examples.
        (
            "00" * 32,
            "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29",
            "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN",
        ),
    ],
)
def test_known_keys_have_the_ids_that_other_implementations_give_them(seed: str, public: str, expected: str) -> None:
    assert peer_id(bytes.fromhex(public)) == expected
    assert NodeIdentity.of(bytes.fromhex(seed)).node_id == expected


@given(st.binary(min_size=32, max_size=32))
def test_id_holds_the_whole_public_key(public: bytes) -> None:
    text = peer_id(public)
    assert (len(text), text[:8]) == (52, "12D3KooW")
    number = 0
    for digit in text[1:]:  # the leading 1 is the multihash's zero byte
        number = number * 58 + "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz".index(digit)
    assert number.to_bytes(37, "big")[5:] == public
    assert text.endswith(short_id(text))
    assert len(short_id(text)) == 8


@pytest.mark.parametrize("length", [0, 31, 33])
def test_other_lengths_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        peer_id(bytes(length))
