"""Data keys for recipients: HPKE (RFC 9180) with the hybrid KEM MLKEM768-X25519, safe while one of the two holds.

Suite: KEM 0x647a (MLKEM768-X25519, also called X-Wing), KDF 0x0001 (HKDF-SHA256), AEAD 0x0002 (AES-256-GCM), base mode,
single shot, ``info`` = "bibd wrap 1\\0" and the caller's context. A private key is the 32-byte seed of
draft-ietf-hpke-pq and draft-connolly-cfrg-xwing-kem, expanded with SHAKE256. ADR 0006 says why.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, cast

from bibd.errors import BibdError, IntegrityError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey, MLKEM768X25519PublicKey, Suite

DATA_KEY_BYTES = 32
_MLKEM_PUBLIC_BYTES = 1184
PUBLIC_BYTES = _MLKEM_PUBLIC_BYTES + 32
_FINGERPRINT_BYTES = 10  # 80 bits name a key; they do not authenticate it
# enc of the KEM (ciphertext of ML-KEM and a public key of X25519), then the data key and AES-GCM's tag.
_SEALED_BYTES = 1120 + DATA_KEY_BYTES + 16
_MAGIC = b"bibW\x01"
WRAPPED_BYTES = len(_MAGIC) + _FINGERPRINT_BYTES + _SEALED_BYTES


class WrongKeyError(IntegrityError):
    """None of the wrapped keys is for the key at hand."""


class DamagedWrapError(IntegrityError):
    """A wrapped key, or the context it belongs to, is not what it was."""


@dataclass(frozen=True)
class PublicKey:
    """``raw``: ML-KEM-768 encapsulation key (1184 bytes), X25519 public key (32). Raises IntegrityError."""

    raw: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.raw) != PUBLIC_BYTES:
            raise IntegrityError(f"not a public key: {len(self.raw)} bytes instead of {PUBLIC_BYTES}")

    @cached_property
    def fingerprint(self) -> str:
        """16 characters of a-z and 2-7: the first 80 bits of SHA-256."""
        return _fingerprint_text(hashlib.sha256(self.raw).digest()[:_FINGERPRINT_BYTES])

    def text(self) -> str:
        return base64.b64encode(self.raw).decode()

    @classmethod
    def from_text(cls, text: str) -> PublicKey:
        """Base64, as ``text`` gives it. Raises IntegrityError when it isn't a key that can be used."""
        try:
            key = cls(base64.b64decode(text, validate=True))
            wrap(bytes(DATA_KEY_BYTES), [key], b"")
        except ValueError:
            raise IntegrityError("not a public key", "copy it again, whole") from None
        return key

    def native(self) -> MLKEM768X25519PublicKey:
        from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
        from cryptography.hazmat.primitives.hpke import MLKEM768X25519PublicKey

        split = _MLKEM_PUBLIC_BYTES
        return MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(self.raw[:split]), X25519PublicKey.from_public_bytes(self.raw[split:])
        )


@dataclass(frozen=True)
class PrivateKey:
    """``seed``: 32 bytes, from which both halves follow."""

    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.seed) != 32:
            raise ValueError(f"a seed has 32 bytes, not {len(self.seed)}")

    @cached_property
    def public(self) -> PublicKey:
        mlkem, x25519 = self._halves
        return PublicKey(mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw())

    def native(self) -> MLKEM768X25519PrivateKey:
        from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey

        return MLKEM768X25519PrivateKey(*self._halves)

    @cached_property
    def _halves(self) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        # expandDecapsulationKey of X-Wing: the seed (d, z) of ML-KEM, then the scalar of X25519.
        expanded = hashlib.shake_256(self.seed).digest(96)
        try:
            mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        except UnsupportedAlgorithm:
            raise BibdError(
                "this build of the package cryptography has no ML-KEM-768",
                "install the wheel of cryptography from PyPI: it comes with an OpenSSL that has it",
            ) from None
        return mlkem, X25519PrivateKey.from_private_bytes(expanded[64:])


@dataclass(frozen=True, slots=True)
class Wrapped:
    """One data key for one recipient (a fingerprint). No secret."""

    recipient: str
    sealed: bytes = field(repr=False)

    def to_bytes(self) -> bytes:
        """``WRAPPED_BYTES`` bytes: magic with version, fingerprint, enc, ciphertext, tag."""
        return _MAGIC + _fingerprint_bytes(self.recipient) + self.sealed

    @classmethod
    def from_bytes(cls, data: bytes) -> Wrapped:
        """Raises DamagedWrapError."""
        if len(data) != WRAPPED_BYTES or not data.startswith(_MAGIC):
            raise DamagedWrapError(*_damaged("it is not a wrapped key of format 1"))
        name, sealed = data[len(_MAGIC) :][:_FINGERPRINT_BYTES], data[-_SEALED_BYTES:]
        return cls(_fingerprint_text(name), sealed)

    def to_json(self) -> dict[str, object]:
        return {"v": 1, "recipient": self.recipient, "sealed": base64.b64encode(self.sealed).decode()}

    @classmethod
    def from_json(cls, value: object) -> Wrapped:
        """Raises DamagedWrapError."""
        match value:
            case {"v": 1, "recipient": str(recipient), "sealed": str(text)} if len(cast(dict[str, object], value)) == 3:
                try:
                    # The way back proves that the text is the canonical one.
                    found = cls.from_bytes(
                        _MAGIC + _fingerprint_bytes(recipient) + base64.b64decode(text, validate=True)
                    )
                except ValueError:
                    raise DamagedWrapError(*_damaged("it is not base64")) from None
                if found.to_json() == value:
                    return found
            case _:
                pass
        raise DamagedWrapError(*_damaged("it is not a wrapped key of format 1"))


def wrap(data_key: bytes, recipients: Sequence[PublicKey], aad: bytes) -> tuple[Wrapped, ...]:
    """``data_key`` (32 bytes) for each of ``recipients``, who need the same ``aad`` (what it is for) to open it.

    Raises ValueError for another length or no recipient; BibdError when a public key can't be used.
    """
    if len(data_key) != DATA_KEY_BYTES or not recipients:
        raise ValueError(f"a data key has {DATA_KEY_BYTES} bytes, and needs at least one recipient")
    return tuple(Wrapped(key.fingerprint, _suite().encrypt(data_key, key.native(), _info(aad))) for key in recipients)


def unwrap(wrapped: Iterable[Wrapped], key: PrivateKey, aad: bytes) -> bytes:
    """The data key, from whichever of ``wrapped`` is for ``key``. Raises WrongKeyError or DamagedWrapError."""
    candidates, fingerprint = list(wrapped), key.public.fingerprint
    mine = [each for each in candidates if each.recipient == fingerprint]
    for each in mine:
        opened = _open(each, key, aad)
        if opened is not None:
            return opened
    # One that opens under another name has a damaged name.
    if mine or any(_open(each, key, aad) is not None for each in candidates):
        raise DamagedWrapError(*_damaged(f"recipient {fingerprint}, or what it belongs to, has changed"))
    names = ", ".join(each.recipient for each in candidates) or "nobody"
    raise WrongKeyError(
        f"this key ({fingerprint}) cannot open it: it is for {names}",
        "use the identity or the recovery kit of one of them",
    )


def _open(wrapped: Wrapped, key: PrivateKey, aad: bytes) -> bytes | None:
    from cryptography.exceptions import InvalidTag

    try:
        return _suite().decrypt(wrapped.sealed, key.native(), _info(aad))
    except (InvalidTag, ValueError):  # ValueError: an X25519 share of low order
        return None


def _suite() -> Suite:
    from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

    return Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def _info(aad: bytes) -> bytes:
    return b"bibd wrap 1\0" + aad


def _damaged(how: str) -> tuple[str, str]:
    return f"a wrapped key is damaged: {how}", "use another copy of it"


def _fingerprint_text(raw: bytes) -> str:
    return base64.b32encode(raw).decode().lower()


def _fingerprint_bytes(text: str) -> bytes:
    """Raises ValueError (binascii.Error is one)."""
    raw = base64.b32decode(text.upper())
    if len(raw) != _FINGERPRINT_BYTES:
        raise ValueError("not a fingerprint")
    return raw
