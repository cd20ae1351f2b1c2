from __future__ import annotations

import pytest

from bibd.config.redaction import clipped, redacted, shown


@pytest.mark.parametrize(
    "key",
    [
        "database.postgres.dsn",
        "database.backup.s3.access_key_id",
        "database.backup.s3.secret_access_key_file",
        "database.postgres.settings.primary_conninfo",
        "database.postgres.settings.vault.apikey",
        "database.postgres.settings.my.password",
        "p2p.psk_file",
    ],
)
def test_values_of_keys_that_look_secret_are_hidden_unless_empty(key: str) -> None:
    assert redacted(key, "hunter2") == redacted(key, ["hunter2"]) == "***"
    assert shown(key, "hunter2") == "this value (not shown)"
    assert redacted(key, "") == ""


@pytest.mark.parametrize(
    "key",
    [
        "database.postgres.credential_rotation_interval",
        "database.postgres.settings.tcp_keepalives_idle",
        "database.migrations.table",
        "server.data_dir",
    ],
)
def test_values_of_other_keys_are_shown(key: str) -> None:
    assert redacted(key, "x") == "x"


@pytest.mark.parametrize("text", ["http://u:hunter2@h:1/", "PGPASSWORD=hunter2 cmd", "host=h password='hunter2'"])
def test_passwords_within_values_are_hidden(text: str) -> None:
    assert "hunter2" not in str(redacted("a.b", (text, {"c": text})))
    assert "hunter2" not in shown("a.b", text)


def test_what_is_quoted_stays_on_one_line_and_short() -> None:
    assert clipped("a\nb\x1b[31m\u202e") == "a\\nb\\x1b[31m\\u202e"
    assert len(clipped("x" * 1000)) == 60
    assert shown("a", {"b": 1}) == "a mapping"
    assert (shown("a", None), shown("a", True), shown("a", 1.5), shown("a", "x")) == ("empty", "true", "1.5", '"x"')
