"""Every key follows from the seed, each from a string of its own, for ever."""

from __future__ import annotations

import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st

from bibd.identity import recipients, vault
from bibd.identity.node import NodeIdentity

SEEDS = st.binary(min_size=32, max_size=32)


def hkdf(seed: bytes, info: str) -> bytes:
    """RFC 5869 with SHA-256, no salt, one block: written from the RFC."""
    extracted = hmac.digest(bytes(32), seed, "sha256")
    return hmac.digest(extracted, info.encode() + b"\x01", "sha256")


@given(SEEDS)
def test_keys_are_those_of_the_documented_table(seed: bytes) -> None:
    identity = NodeIdentity.of(seed)
    assert identity.sealing_key(vault.PURPOSE).key == hkdf(seed, "bibd identity 1 sealing passwords")
    assert identity.sealing_key(recipients.PURPOSE).key == hkdf(seed, "bibd identity 1 sealing recipients")
    assert identity.wrapping_key().seed == hkdf(seed, "bibd identity 1 wrapping")


def test_derived_keys_of_a_known_seed_never_change() -> None:
    identity = NodeIdentity.of(bytes(range(32)))
    derived = identity.sealing_key("passwords").key + identity.sealing_key("recipients").key
    derived += identity.wrapping_key().seed
    assert identity.wrapping_key().public.fingerprint == "ah7h4e7yvjfd4swr"
    assert hashlib.sha256(derived).hexdigest() == "1688e162d762725a4068bafc3e1c9fe560da798e6a2e2a94005694505b0a8644"


@given(SEEDS)
def test_no_key_is_in_what_is_shown(seed: bytes) -> None:
    identity = NodeIdentity.of(seed)
    key, pair = identity.sealing_key("passwords"), identity.wrapping_key()
    shown = f"{identity!r} {identity} {key!r} {pair!r} {pair.public!r}"
    for secret in (seed, key.key, pair.seed):
        assert repr(secret) not in shown
        assert secret.hex() not in shown
