"""Secrets do not reach a line."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibd.logs.redaction import MASK, Redactor

PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\nhunter2\n-----END PRIVATE KEY-----"


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    return Redactor(["password", "token", "key", "secret"])


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://bibd:hunter2@127.0.0.1:5432/bibd",
        "postgres://bibd:hunter2@[::1]/bibd?sslmode=require and more",
        "postgresql://bibd:p@hunter2@host/db",
        "redis://:hunter2@host",
        "host=x user=bibd password=hunter2 dbname=bibd",
        "password = 'hunter2 with spaces'",
        r"password='it\'s hunter2' x",
        "PGPASSWORD=hunter2 psql",
        '{"password": "hunter2"}',
        '{"password":"hun\\"hunter2"}',
        '{\\"password\\": \\"hunter2\\"}',
        "{'db_password': 'hunter2', 'a': 1}",
        "password: hunter2",
        "ALTER ROLE bibd WITH PASSWORD 'hunter2'",
        "ALTER ROLE bibd PASSWORD 'it''s hunter2'",
        "secret_access_key=hunter2",
        "api_key: hunter2",
        "api-key=hunter2",
        "?token=hunter2&x=1",
        "client_secret=hunter2",
        "passwd=hunter2",
        "Authorization: Bearer hunter2hunter2",
        "authorization: Basic hunter2",
        "bearer eyJhbGciOi.hunter2",
        PEM,
        PEM[:60] + "hunter2",
        repr(PEM),
        json.dumps({"pem": PEM}),
        "-----BEGIN RSA PRIVATE KEY-----\nhunter2",
    ],
)
def test_a_value_that_looks_like_a_secret_is_masked(redactor: Redactor, text: str) -> None:
    masked = redactor.text(text)
    assert "hunter2" not in masked
    assert MASK in masked


@pytest.mark.parametrize(
    "text",
    [
        "server ready on 127.0.0.1:5432 after 0.8 s",
        "http://127.0.0.1:8080/readyz answered 200",
        "unknown key 'databse' in /etc/bibd.yaml, did you mean 'database'?",
        "monkey=1 keyboard=2",
        "duplicate key value violates unique constraint",
        "password authentication failed for user bibd",
        "secrets/ is not a directory",
    ],
)
def test_ordinary_lines_stay_as_they_are(redactor: Redactor, text: str) -> None:
    assert redactor.text(text) == text


def test_what_surrounds_a_secret_stays(redactor: Redactor) -> None:
    assert redactor.text("to postgresql://bibd:x1@h:5432/db failed") == f"to postgresql://bibd:{MASK}@h:5432/db failed"
    assert redactor.text("host=h password=abc port=1") == f"host=h password={MASK} port=1"


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("password", True),
        ("db_password", True),
        ("dbPassword", True),
        ("PGPASSWORD", True),
        ("api_key", True),
        ("apiKey", True),
        ("keys", True),
        ("X-Auth-Token", True),
        ("passphrase", True),
        ("monkey", False),
        ("keyboard", False),
        ("user", False),
    ],
)
def test_fields_are_secret_by_their_name(redactor: Redactor, name: str, secret: bool) -> None:
    assert redactor.is_secret(name) is secret
    assert redactor.value({"outer": [{name: "hunter2"}]}) == {"outer": [{name: MASK if secret else "hunter2"}]}


def test_configured_words_count_too() -> None:
    redactor = Redactor(["pin", "certificate"])
    assert redactor.value({"pin": "1234", "spin": "x", "client_certificate": "abc"}) == {
        "pin": MASK,
        "spin": "x",
        "client_certificate": MASK,
    }
    assert "abc" not in redactor.text("certificate=abc")


@given(
    secret=st.text(min_size=4, max_size=30).filter(lambda text: MASK not in text and text.strip("*") != ""),
    around=st.tuples(st.text(), st.text()),
)
def test_a_registered_secret_never_occurs_in_any_form(secret: str, around: tuple[str, str]) -> None:
    redactor = Redactor([])
    redactor.add(secret)
    plain = redactor.text(f"{around[0]}|{secret}|{around[1]}")
    assert f"|{secret}|" not in plain
    assert secret not in redactor.text(secret)
    assert repr(secret)[1:-1] not in redactor.text(repr(secret))


def test_a_secret_that_begins_with_another_is_masked_whole() -> None:
    redactor = Redactor([])
    redactor.add("abcd")
    redactor.add("abcdefgh")
    assert redactor.text("abcdefgh") == MASK
    redactor.add("xyz")  # too short: it would garble every line
    assert redactor.text("xyz") == "xyz"


def test_a_url_encoded_secret_is_masked() -> None:
    redactor = Redactor([])
    redactor.add("a/b c@d")
    assert "a%2Fb%20c%40d" not in redactor.text("dsn a%2Fb%20c%40d")


@pytest.mark.parametrize(
    "text",
    [
        "a" * 200_000,
        "password" * 25_000,
        "password='" + "\\" * 200_000,
        "://" * 60_000,
        "http://a:" + "b" * 200_000,
        "-----BEGIN PRIVATE KEY-----" * 7_000,
        "password" + " " * 200_000,
        "api_key" * 30_000,
        "bearer " * 30_000,
        'password="' * 20_000,
        "x://" + "y:" * 100_000,
    ],
)
def test_no_text_makes_masking_slow(redactor: Redactor, text: str) -> None:
    started = time.process_time()
    redactor.text(text)
    # 0.02 s each; quadratic behaviour takes minutes.
    assert time.process_time() - started < 3


def test_strange_values_become_something_json_can_hold(redactor: Redactor) -> None:
    class Broken:
        def __str__(self) -> str:
            raise ValueError

    endless: list[object] = []
    endless.append(endless)
    value = {
        "nan": float("nan"),
        "huge": 10**5000,
        "bytes": b"\xffpassword=hunter2",
        "broken": Broken(),
        "endless": endless,
        3: {4},
        "none": None,
        "password": None,
        "flag": True,
        "small": -1.5,
    }
    text = json.dumps(redactor.value(value), allow_nan=False)
    assert "hunter2" not in text
    plain = json.loads(text)
    assert (plain["nan"], plain["3"], plain["password"], plain["flag"], plain["small"]) == (
        "nan",
        [4],
        None,
        True,
        -1.5,
    )
