"""``identity.pem``: made once, never overwritten.

One line ``bibd node NODE-ID``, then the key as PKCS#8 in PEM (RFC 5958, RFC 8410; RFC 7468 allows text before it, so
OpenSSL reads the file as it is). The line is there because PKCS#8 has no checksum: a flipped bit would silently be
another node.
"""

from __future__ import annotations

import base64
import os
import pwd
import secrets
import stat
from pathlib import Path

from bibd.datadir import DataDir
from bibd.durable import create_file, leftovers
from bibd.errors import BibdError, IntegrityError
from bibd.identity.node import SEED_BYTES, NodeIdentity

# DER of PrivateKeyInfo up to the seed: version 0, algorithm 1.3.101.112, an OCTET STRING in an OCTET STRING (RFC 8410).
_DER = bytes.fromhex("302e020100300506032b657004220420")
_BACKUP = "restore it from a copy: backups and sealed files of this node need it"


def load_or_create(data: DataDir) -> NodeIdentity:
    """The identity in ``data``, made on the first start. The caller holds the lock of the data directory.

    Raises IntegrityError when the file is damaged, no Ed25519 key, or gone while files sealed with it are still there;
    BibdError when it is not ours alone, or cannot be read or made.
    """
    path = data.identity
    try:
        for leftover in path.parent.glob(leftovers(path)):
            leftover.unlink(missing_ok=True)
        content = _read(path)
        if content is None:
            return _create(data)
    except OSError as error:
        raise BibdError(
            f"cannot read or make the identity {path}: {error.strerror}",
            "check the owner, the permissions and the free space of the data directory",
        ) from error
    return _parse(content, path)


def render(identity: NodeIdentity) -> bytes:
    body = base64.b64encode(_DER + identity.seed).decode()
    return (f"bibd node {identity.node_id}\n-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n").encode()


def _create(data: DataDir) -> NodeIdentity:
    sealed = sorted(path.name for path in data.secrets.glob("*.enc"))
    if sealed:
        # A new identity would start as another node, and nobody would notice before a restore fails.
        raise IntegrityError(
            f"{data.identity} is gone, but {', '.join(sealed)} in {data.secrets} was sealed with it",
            f"{_BACKUP}; or, to begin as a new node, move {data.secrets} away",
        )
    if data.identity.is_symlink():
        raise BibdError(f"{data.identity} leads nowhere", "it is a broken symbolic link: repair or remove it")
    identity = NodeIdentity.of(secrets.token_bytes(SEED_BYTES))
    create_file(data.identity, render(identity))
    return identity


def _read(path: Path) -> bytes | None:
    try:
        # O_NONBLOCK: a FIFO in its place would block for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        _check(os.fstat(descriptor), path)
        return file.read(64 * 1024)


def _check(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise BibdError(f"the identity {path} is not a file", "move it away, and restore the file")
    if found.st_uid != os.geteuid():
        raise BibdError(
            f"permission denied: the identity {path} belongs to {_name(found.st_uid)},"
            f" bibd runs as {_name(os.geteuid())}",
            f"run bibd as its owner, or give it back: chown {os.geteuid()} {path}",
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        raise BibdError(
            f"the identity {path} can be read or changed by others (mode {mode:04o})",
            f"chmod 600 {path}; if somebody may have copied it, treat this node's backups as readable by them",
        )


def _parse(content: bytes, path: Path) -> NodeIdentity:
    if content.startswith(b"-----BEGIN "):
        return NodeIdentity.of(_foreign(content, path))
    try:
        seed = base64.b64decode(content.split(b"\n")[2], validate=True)[len(_DER) :]
        identity = NodeIdentity.of(seed)
    except (IndexError, ValueError):
        raise IntegrityError(f"the identity {path} is damaged", _BACKUP) from None
    if render(identity) != content:
        raise IntegrityError(f"the identity {path} is damaged: its key and its node id do not match", _BACKUP)
    return identity


def _foreign(content: bytes, path: Path) -> bytes:
    """The seed of a PEM file that another program has made. Raises IntegrityError, saying what it is instead."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(content, None)
    except TypeError:
        raise IntegrityError(
            f"the identity {path} is encrypted with a passphrase", f"decrypt it: openssl pkey -in {path}"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise IntegrityError(f"the identity {path} is damaged, or no private key", _BACKUP) from None
    if not isinstance(key, Ed25519PrivateKey):
        kind = type(key).__name__.removesuffix("PrivateKey")
        raise IntegrityError(f"the identity {path} holds a key of type {kind}, not Ed25519", _BACKUP)
    return key.private_bytes_raw()


def _name(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"
