"""The server's TLS certificate: a self-signed one that bibd makes and renews, or the operator's."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import time
from pathlib import Path

from bibd.durable import write_file
from bibd.errors import BibdError
from bibd.postgres.account import Account
from bibd.postgres.conf import Tls
from bibd.postgres.hba import ANY

_YEARS = 10
# By the file's age: reading the certificate costs an import of 60 ms at each start.
_RENEW_AFTER = (_YEARS - 1) * 365 * 86400.0


def prepare(certs: Path, *, cert_dir: str, auto_generate: bool, bind_address: str, account: Account) -> Tls:
    """The certificate and key for the server, readable by its account.

    Raises BibdError when ``cert_dir`` lacks them and none may be generated.
    """
    if cert_dir:
        given = Path(cert_dir).expanduser()
        if (given / "server.crt").exists() and (given / "server.key").exists():
            return _copy(given, certs, account)
        if not auto_generate:
            raise BibdError(
                f"no server.crt and server.key in {given}",
                "put them there (database.postgres.tls.cert_dir), or set database.postgres.tls.auto_generate: true",
            )
    elif not auto_generate:
        raise BibdError(
            "database.postgres.tls.auto_generate is off and no certificate is given",
            "set database.postgres.tls.cert_dir to a directory with server.crt and server.key",
        )
    return _generated(certs, bind_address, account)


def _generated(certs: Path, bind_address: str, account: Account) -> Tls:
    tls = Tls(certs / "server.crt", certs / "server.key")
    present = tls.key.exists() and tls.certificate.exists()
    if present and time.time() - tls.certificate.stat().st_mtime < _RENEW_AFTER:
        return tls
    now = datetime.datetime.now(datetime.UTC)
    certificate, key = self_signed(socket.gethostname(), bind_address, now)
    _write(tls, certificate, key, account)
    return tls


def _copy(given: Path, certs: Path, account: Account) -> Tls:
    """A key that root alone may read is usual, and the server must own the one it uses (18.9.1)."""
    tls = Tls(certs / "given.crt", certs / "given.key")
    try:
        certificate, key = (given / "server.crt").read_bytes(), (given / "server.key").read_bytes()
    except OSError as error:
        raise BibdError(f"cannot read {error.filename}: {error.strerror}", "let the account of bibd read it") from error
    if not (tls.key.exists() and tls.certificate.exists()) or (
        (tls.certificate.read_bytes(), tls.key.read_bytes()) != (certificate, key)
    ):
        _write(tls, certificate, key, account)
    return tls


def _write(tls: Tls, certificate: bytes, key: bytes, account: Account) -> None:
    write_file(tls.key, key, mode=0o600, owner=account.owner)
    write_file(tls.certificate, certificate, mode=0o600, owner=account.owner)


def self_signed(hostname: str, bind_address: str, now: datetime.datetime) -> tuple[bytes, bytes]:
    """(certificate, key) in PEM: ECDSA P-256, for this host, its loopback addresses and ``bind_address``."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, hostname[:64] or "localhost")])
    names: list[x509.GeneralName] = [x509.DNSName("localhost")]
    if hostname.isascii() and hostname not in {"", "localhost"}:
        names.append(x509.DNSName(hostname))
    addresses = {"127.0.0.1", "::1"} | ({bind_address} - ANY)
    for address in sorted(addresses):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(address)))
        except ValueError:
            if address.isascii() and address not in {"localhost", hostname}:
                names.append(x509.DNSName(address))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # clients' clocks differ
        .not_valid_after(now + datetime.timedelta(days=_YEARS * 365))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
