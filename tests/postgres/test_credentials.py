"""Passwords, where they are kept, and where they may be shown."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg.conninfo
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibd.postgres import roles, server_log, service_file
from bibd.postgres.endpoint import Endpoint
from bibd.postgres.vault import new_password

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)


def test_verifier_is_the_one_of_the_standard() -> None:
    """RFC 7677, section 3: user "user", password "pencil", its salt, 4096 iterations."""
    import base64

    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    verifier = roles.scram_verifier("pencil", salt)
    match = re.fullmatch(r"SCRAM-SHA-256\$4096:W22ZaJ0SNY7soEsUEjb6gQ==\$([^:]+):(.+)", verifier)
    assert match is not None
    assert match[1] == "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
    assert match[2] == "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="


@given(TEXT, TEXT, TEXT)
def test_url_holds_any_name_and_password(dbname: str, user: str, password: str) -> None:
    endpoint = Endpoint("127.0.0.1", 5432, dbname, user, password, tls=True)
    parts = urlsplit(endpoint.url())
    assert unquote(parts.username or "") == user
    assert unquote(parts.password or "") == password
    parsed = psycopg.conninfo.conninfo_to_dict(endpoint.url())
    assert (parsed["dbname"], parsed["user"], parsed["password"]) == (dbname, user, password)
    assert parsed["sslmode"] == "require"


@pytest.mark.parametrize("host", ["/run/a b/ü", "::1", "localhost"])
def test_url_holds_any_host(host: str) -> None:
    parsed = psycopg.conninfo.conninfo_to_dict(Endpoint(host, 5432, "d", "u", "p").url())
    assert (parsed["host"], parsed["port"]) == (host, "5432")


def test_password_is_not_in_what_is_shown() -> None:
    endpoint = Endpoint("h", 1, "d", "u", "s3cret-password")
    assert "s3cret" not in f"{endpoint!r} {endpoint} {endpoint.public_url()} {roles.Passwords('s3cret', 's3cret')}"
    log = "ERROR: x\nSTATEMENT: ALTER ROLE a PASSWORD 'it''s'\nSCRAM-SHA-256$4096:abc$d:e\nraw s3cret-password\n\n"
    shown = server_log.tail(log, ["s3cret-password"])
    assert "it" not in shown.replace("x", "")
    assert "s3cret" not in shown
    assert "abc" not in shown


def test_generated_passwords_have_256_bits_and_need_no_quoting() -> None:
    made = {new_password() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", password) for password in made)


def test_service_file_changes_only_when_it_must(data_dir: Path) -> None:
    data_dir.mkdir()
    path = data_dir / "pg_service.conf"
    endpoint = Endpoint("127.0.0.1", 5432, "bibd", "bibd", "x")
    service_file.keep(path, endpoint)
    first = path.stat().st_ino
    service_file.keep(path, endpoint)
    assert path.stat().st_ino == first
    service_file.keep(path, Endpoint("127.0.0.1", 5433, "bibd", "bibd", "x"))
    assert "port=5433" in path.read_text()
