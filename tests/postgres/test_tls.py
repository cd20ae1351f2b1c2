"""TLS: the certificate without any server, then a server that has TLS, then one that has not."""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bibd.errors import BibdError
from bibd.postgres import certificate
from bibd.postgres.account import choose
from bibd.postgres.conf import Tls
from bibd.postgres.spec import ServerSpec
from tests.postgres.scenario import query, server_of, start

NOW = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)


def prepare(certs: Path, *, cert_dir: str = "", auto_generate: bool = True) -> Tls:
    account = choose(Path("/nonexistent"), euid=os.geteuid())
    return certificate.prepare(
        certs, cert_dir=cert_dir, auto_generate=auto_generate, bind_address="10.0.0.5", account=account
    )


def test_certificate_is_for_this_host_and_its_key() -> None:
    certificate_pem, key_pem = certificate.self_signed("db1", "10.0.0.5", NOW)
    parsed = x509.load_pem_x509_certificate(certificate_pem)
    assert parsed.public_key() == load_pem_private_key(key_pem, None).public_key()
    names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {"localhost", "db1"}
    assert set(names.get_values_for_type(x509.IPAddress)) == {
        ipaddress.ip_address(address) for address in ("127.0.0.1", "::1", "10.0.0.5")
    }
    assert parsed.not_valid_before_utc < NOW < parsed.not_valid_after_utc


@pytest.mark.parametrize("hostname", ["", "x" * 200, "bücher", "localhost"])
def test_any_host_name_gives_a_certificate(hostname: str) -> None:
    certificate_pem, _ = certificate.self_signed(hostname, "db.example", NOW)
    names = x509.load_pem_x509_certificate(certificate_pem).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert "db.example" in names.value.get_values_for_type(x509.DNSName)


def test_generated_files_fit_together_and_are_kept(data_dir: Path) -> None:
    data_dir.mkdir()
    tls = prepare(data_dir)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.certificate, tls.key)
    assert tls.key.stat().st_mode & 0o777 == 0o600
    before = tls.key.read_bytes()
    assert prepare(data_dir).key.read_bytes() == before


def test_old_certificate_is_renewed_before_it_ends(data_dir: Path) -> None:
    data_dir.mkdir()
    tls = prepare(data_dir)
    before = tls.certificate.read_bytes()
    long_ago = tls.certificate.stat().st_mtime - 9.5 * 365 * 86400
    os.utime(tls.certificate, (long_ago, long_ago))
    assert prepare(data_dir).certificate.read_bytes() != before


def test_given_certificate_is_copied_for_the_server_and_followed(data_dir: Path) -> None:
    given = data_dir / "given"
    given.mkdir(parents=True)
    for hostname in ("first", "second"):
        certificate_pem, key_pem = certificate.self_signed(hostname, "127.0.0.1", NOW)
        (given / "server.crt").write_bytes(certificate_pem)
        (given / "server.key").write_bytes(key_pem)
        tls = prepare(data_dir, cert_dir=str(given), auto_generate=False)
        assert tls.certificate.parent == data_dir
        assert (tls.certificate.read_bytes(), tls.key.read_bytes()) == (certificate_pem, key_pem)


def test_missing_given_certificate_is_named(data_dir: Path) -> None:
    data_dir.mkdir()
    with pytest.raises(BibdError, match=r"no server\.crt"):
        prepare(data_dir, cert_dir=str(data_dir), auto_generate=False)
    with pytest.raises(BibdError, match="no certificate is given"):
        prepare(data_dir, auto_generate=False)


def test_tls_true_on_a_build_without_it_is_refused_before_anything_is_made(fresh: ServerSpec) -> None:
    """The wheel's build has no TLS."""
    with pytest.raises(BibdError, match="built without TLS") as caught:
        start(server_of(replace(fresh, tls=True)))
    assert "database.postgres.bin_dir" in caught.value.hint
    assert not fresh.data.exists()


def test_tls_auto_on_a_build_without_it_is_off(prepared: ServerSpec) -> None:
    server = server_of(prepared)
    assert start(server).tls is False
    assert "sslmode" not in server.app().url()


def test_tls_auto_on_a_build_with_it_is_on_and_the_url_asks_for_it(fresh: ServerSpec, tls_bin_dir: str) -> None:
    server = server_of(replace(fresh, bin_dir=tls_bin_dir))
    running = start(server)
    assert running.tls
    assert server.app().url().endswith("?sslmode=require")
    with psycopg.connect(server.app().url()) as session:
        assert session.pgconn.ssl_in_use
    versions = query(server.app(), "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    assert versions == [(True, "TLSv1.3")]
    assert (fresh.certs / "server.key").stat().st_mode & 0o777 == 0o600

    off = server_of(replace(fresh, bin_dir=tls_bin_dir, tls="false"))
    adopted = start(off)
    assert (adopted.adopted, adopted.tls) == (True, False)
    assert "sslmode" not in off.app().url()
