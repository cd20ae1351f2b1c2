"""A data key is opened by its recipients alone, also by a program written from the specifications."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from bibd.errors import IntegrityError
from bibd.identity.wrap import (
    PUBLIC_BYTES,
    WRAPPED_BYTES,
    DamagedWrapError,
    PrivateKey,
    PublicKey,
    Wrapped,
    WrongKeyError,
    unwrap,
    wrap,
)
from tests.identity.damage import every_flip, flipped

SEEDS = st.binary(min_size=32, max_size=32)
DATA_KEYS = st.binary(min_size=32, max_size=32)
ALICE, BOB, EVE = (PrivateKey(bytes([number]) * 32) for number in (1, 2, 3))
DATA_KEY, AAD = bytes(range(32)), b"backup 1 of node x"


@given(SEEDS, DATA_KEYS, st.binary(max_size=200))
def test_round_trip_through_both_serialisations(seed: bytes, data_key: bytes, aad: bytes) -> None:
    key = PrivateKey(seed)
    (wrapped,) = wrap(data_key, [key.public], aad)
    assert unwrap([Wrapped.from_bytes(wrapped.to_bytes())], key, aad) == data_key
    assert unwrap([Wrapped.from_json(json.loads(json.dumps(wrapped.to_json())))], key, aad) == data_key
    assert len(wrapped.to_bytes()) == WRAPPED_BYTES
    assert data_key not in wrapped.to_bytes()


def test_each_recipient_opens_it_and_nobody_else() -> None:
    wrapped = wrap(DATA_KEY, [ALICE.public, BOB.public], AAD)
    assert [each.recipient for each in wrapped] == [ALICE.public.fingerprint, BOB.public.fingerprint]
    assert unwrap(wrapped, ALICE, AAD) == unwrap(wrapped, BOB, AAD) == DATA_KEY
    with pytest.raises(WrongKeyError, match=EVE.public.fingerprint) as caught:
        unwrap(wrapped, EVE, AAD)
    assert ALICE.public.fingerprint in caught.value.message
    with pytest.raises(WrongKeyError, match="nobody"):
        unwrap([], EVE, AAD)


def test_other_context_is_refused() -> None:
    with pytest.raises(DamagedWrapError, match="what it belongs to"):
        unwrap(wrap(DATA_KEY, [ALICE.public], AAD), ALICE, b"backup 2 of node x")


def test_one_damaged_copy_does_not_hide_a_good_one() -> None:
    good = wrap(DATA_KEY, [ALICE.public], AAD)[0]
    bad = Wrapped(good.recipient, flipped(good.sealed, 4000))
    assert unwrap([bad, good], ALICE, AAD) == DATA_KEY


def test_any_flipped_bit_of_the_bytes_is_damage() -> None:
    (wrapped,) = wrap(DATA_KEY, [ALICE.public], AAD)
    for at, content in every_flip(wrapped.to_bytes()):
        with pytest.raises(DamagedWrapError, match="damaged"):
            unwrap([Wrapped.from_bytes(content)], ALICE, AAD)
            pytest.fail(f"byte {at}")


@given(st.data())
def test_any_flipped_bit_of_the_json_is_damage(data: st.DataObject) -> None:
    text = json.dumps(wrap(DATA_KEY, [ALICE.public], AAD)[0].to_json()).encode()
    damaged = flipped(text, data.draw(st.integers(0, len(text) * 8 - 1)))
    try:
        value = json.loads(damaged)
    except ValueError:
        return  # JSON itself names the place
    with pytest.raises(DamagedWrapError):
        unwrap([Wrapped.from_json(value)], ALICE, AAD)


@pytest.mark.parametrize(
    "value", [None, [], {}, {"v": 2}, {"v": 1, "recipient": 1, "sealed": ""}, {"v": 1, "recipient": "a", "sealed": "!"}]
)
def test_what_is_no_wrapped_key_is_named(value: object) -> None:
    with pytest.raises(DamagedWrapError, match="is damaged"):
        Wrapped.from_json(value)


@given(st.binary(max_size=WRAPPED_BYTES + 1))
def test_bytes_of_any_kind_are_refused(raw: bytes) -> None:
    with pytest.raises(DamagedWrapError):
        unwrap([Wrapped.from_bytes(raw)], ALICE, AAD)


@pytest.mark.parametrize("data_key", [b"", bytes(31), bytes(33)])
def test_data_keys_have_256_bits(data_key: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        wrap(data_key, [ALICE.public], AAD)


def test_nothing_is_wrapped_for_nobody() -> None:
    with pytest.raises(ValueError, match="at least one recipient"):
        wrap(DATA_KEY, [], AAD)


@given(SEEDS)
def test_public_key_survives_its_text(seed: bytes) -> None:
    public = PrivateKey(seed).public
    assert PublicKey.from_text(public.text()) == public
    assert len(public.raw) == PUBLIC_BYTES
    assert len(public.fingerprint) == 16


@pytest.mark.parametrize(
    "text",
    [
        "", "?", "AAAA",
        base64.b64encode(b"\xff" * PUBLIC_BYTES).decode(),  # coefficients beyond ML-KEM's modulus (FIPS 203, 7.2)
        base64.b64encode(ALICE.public.raw[:-32] + bytes(32)).decode(),  # X25519's point of order 1
    ],
    ids=["empty", "no base64", "short", "no ML-KEM key", "point of low order"],
)  # fmt: skip
def test_unusable_public_key_is_refused(text: str) -> None:
    with pytest.raises(IntegrityError, match="not a public key"):
        PublicKey.from_text(text)


# Appendix C of draft-connolly-cfrg-xwing-kem, and the first vector of filippo.io/hpke's hpke-pq.json
# (draft-ietf-hpke-pq): seed, the beginning and the end of the public key.
VECTORS = [
    (
        "7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26",
        "e2236b35a8c24b39b10aa1323a96a919a2ced88400633a7b07131713fc14b2b5b19cfc3d",
        "eff389b27dce59844570216223593d4ba32d9abac8cd049040ef6534",
    ),
    (
        "447cfc23de31102101a1b5aec0897a31f24670946f8e67345df7099b7c26e626",
        "d9ac25bc9b3516188ead3a40cfe439f4143090900cf1875fd60b5ba4e381948b5b78b161",
        "b712202d0dbce7449a3e02d576c316213ea82af6debfde736fd2fe79aad8877852bfc8ff"
        "08e5571904a4b462022f8fdaf6fec20e80222d89e91788afe88208fb423c3ef8cda69",
    ),
]


@pytest.mark.parametrize(("seed", "first", "last"), VECTORS, ids=["x-wing", "hpke-pq"])
def test_key_pairs_follow_from_seeds_as_in_the_published_vectors(seed: str, first: str, last: str) -> None:
    public = PrivateKey(bytes.fromhex(seed)).public.raw.hex()
    assert public.startswith(first)
    assert public.endswith(last)


def labeled_extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")


def labeled_expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    labeled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(prk, labeled + b"\x01", "sha256")[:length]  # length is at most one block


def opened_from_the_specifications(sealed: bytes, seed: bytes, info: bytes) -> bytes:
    """X-Wing's Decapsulate, then RFC 9180's key schedule (section 5.1) and Open, of the primitives alone."""
    expanded = hashlib.shake_256(seed).digest(96)
    mlkem, x25519 = (
        MLKEM768PrivateKey.from_seed_bytes(expanded[:64]),
        X25519PrivateKey.from_private_bytes(expanded[64:]),
    )
    ciphertext, share = sealed[:1088], sealed[1088:1120]
    secrets = mlkem.decapsulate(ciphertext) + x25519.exchange(X25519PublicKey.from_public_bytes(share))
    shared = hashlib.sha3_256(secrets + share + x25519.public_key().public_bytes_raw() + rb"\.//^\ "[:-1]).digest()
    suite = b"HPKE" + bytes.fromhex("647a 0001 0002")
    context = b"\0" + labeled_extract(suite, b"", b"psk_id_hash", b"") + labeled_extract(suite, b"", b"info_hash", info)
    secret = labeled_extract(suite, shared, b"secret", b"")
    key = labeled_expand(suite, secret, b"key", context, 32)
    nonce = labeled_expand(suite, secret, b"base_nonce", context, 12)
    return AESGCM(key).decrypt(nonce, sealed[1120:], b"")


@given(SEEDS, DATA_KEYS, st.binary(max_size=50))
def test_a_program_written_from_the_specifications_opens_it(seed: bytes, data_key: bytes, aad: bytes) -> None:
    (wrapped,) = wrap(data_key, [PrivateKey(seed).public], aad)
    assert opened_from_the_specifications(wrapped.sealed, seed, b"bibd wrap 1\0" + aad) == data_key


def test_format_1_is_readable_for_ever() -> None:
    wrapped = Wrapped.from_bytes(
        base64.b64decode(
            "YmliVwHze5my23MqffVf/PIIgfmA1dEI6yghHXmW88heRi5zXVsJezWVk5M4DCxN+BWXGng8wOaYITlDb2d9Vvn6zmmBgEzyyxfwzcrT"
            "8NLRB4ureTr4ETMtOrRjgoHmEfQc+J1CqsDxI66buN/QWbETukXB5DNBQU8ai5z3o0dUMb/EzyYvkL0j7rVX5Q/mMtRUrrxuiE3cc6Qw"
            "/BvVkOIVA/WY8iMsB0i7TVQBuno9pPZjmHLsvAlcbxlnJ8/E4+AExlQo3uSr9eRS72ihvakNBoOV8l1V3G14SawcQQIEhuv8/jDdrMCZ"
            "vxmwVmKy4jcCfljZ88jHuWvL8+/l6e7PWOHfLUJbDMZf6gGGly2Vpj/pY/oQueV2l0mXTwdc8MQnvSqtlIRUwyV9tfwnWkOz5zsNASLr"
            "Q3/oNr5lO5O0qbV0JcEBqW5qty5Fi6kin+skbsEQs+jfI+L89Kj2dWfj6Fyfe9gCKh/ezb4CogVJ7/gQw6IIPnS5ZnKDfUqkUmErWsF7"
            "QxHg4DF8KX93KgKwZVjjl7qBIs3UYjNVVSFjlyaDC2qw72P4ljALSfWjw+xmEq8GHSQsbWoCyJx8RcJHipx9zOyE9qV6E5w7YciYge5h"
            "gosOYruVEXPKpOYOmmx+Ny+oIVZHFLWaJqXqprlEDyk2B3Tyei81gX3tI5/iCp0n5XKhvLH3ZQHGvdAg9Kz7xGRMsjVd6cQEbvf454Gn"
            "DUisIeEHwstcjLp09gVgoNTMcTjOIQsOdgEQrn335BpdyKbVP5NUgdVeTyE179ERDS4MxHjI3YBclRFeuYUDKnDa7mKP35oG3gXLpgl+"
            "pJzFp6T6N+FmWsi+N7KucVoSaKBJS1g/vz49ZKQnl3iSpwhPHQISbG4vMvUEN4vekQOtqtpkRORTi08Dc6zmrU/19vkYyjoTJMBuUAwb"
            "tCpZEpGJGn17PmMCA8gLMNXCNSx7w7kRI4D20kOHkfukostLwa3L4ZWMhkahmnRMPNUYgPszc3LD1rNU3IYpZQ2l0xSh69JXhRWNpal0"
            "7BWCVvFpXKE5JX+/XwkRRYkfSx18c8lk08EpFzjM5Qoa2dfzLqVGAvA74gt1Ub+BV7w/YbQOg29wy5n8wR+OaE83bOcdSlUEE68lJGOn"
            "UeVzaV5K8NSOiHTlLFL2c+Qb6SsDNFB9hrvb1jP60PstZ+b3fMNmzk/4rnmISgxlCx418UJli4GswG5pCxWh5/No6KZ3JLc/igT6BM3L"
            "ALi9rFbPT2AtrJHIZHi6sy87zIGQVgdAXie8zyatCrs6e8+ZzCqYiqEVTpVhwz+kgMT838bcOd2B8vqAmKdTi8Di6jlafaS4EWHowNeV"
            "jqt+qMwDsho0V2slSc+aA5amOspBR22g3mMPk0Hxd9Iw0Lxnb0qsNqoLH161au+DvCuTsgV3JBucwcILgQV59Uz2jzbU2kCiERQ+lXQs"
            "8GAufk0C3C+9th1yiwGk42ETcz6b9u4VfCMDBul7qNwH60dWKzq0eg98RzaVIlq9YQ22GXSkjD0Uax+G6oJPWi9DTeBICZ8M9EitLgt4"
            "uQLpzdfVGZnFvPVUGg=="
        )
    )
    assert unwrap([wrapped], ALICE, AAD) == DATA_KEY
