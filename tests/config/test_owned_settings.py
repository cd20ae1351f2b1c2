from __future__ import annotations

from pathlib import Path

import pytest

from bibd.config.owned_settings import OWNED, owner_of
from tests.config.support import load_text, refusal


def with_settings(text: str) -> str:
    return f"database:\n  postgres:\n    settings:\n      {text}\n"


@pytest.mark.parametrize("name", [*OWNED, "ssl", "SSL_Cert_File", "recovery_target_time", "Listen_Addresses"])
def test_settings_that_bibd_writes_are_refused_with_what_to_do_instead(tmp_path: Path, name: str) -> None:
    error = refusal(tmp_path, with_settings(f"{name}: x"))
    reason = owner_of(name)
    assert reason
    assert error.message == f"config.yaml:4: database.postgres.settings.{name}: is set by bibd: {reason}"


def test_other_settings_are_passed_on_as_they_are(tmp_path: Path) -> None:
    text = with_settings(
        "{work_mem: 8MB, jit: off, random_page_cost: 1.1, pg_stat_statements.max: 5000, application_name: ''}"
    )
    assert load_text(tmp_path, text).settings.database.postgres.settings == {
        "work_mem": "8MB",
        "jit": False,
        "random_page_cost": 1.1,
        "pg_stat_statements.max": 5000,
        "application_name": "",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("'a b': 1", "is not the name"),
        ("'': 1", "is not the name"),
        ("1a: 1", "is not the name"),
        ("a.b.c: 1", "is not the name"),
        ('"a\\n": 1', "is not the name"),
        ("work_mem: [1]", "must be text, a number, true or false"),
        ("work_mem: ", "must be text, a number, true or false"),
        ('work_mem: "a\\nport = 1"', "must not hold control characters or line breaks"),
        ("{jit: on, JIT: off}", "gives jit more than once"),
        ("random_page_cost: .nan", ""),
    ],
)
def test_settings_that_cannot_stand_in_postgresql_conf_are_refused(tmp_path: Path, text: str, said: str) -> None:
    if said:
        message = refusal(tmp_path, with_settings(text)).message
        assert said in message
        assert "config.yaml:4" in message or "config.yaml:3" in message
        assert len(message.splitlines()) == 1
    else:  # not a number for YAML either: passed on as text, and PostgreSQL's to judge
        assert load_text(tmp_path, with_settings(text)).settings.database.postgres.settings == {
            "random_page_cost": ".nan"
        }
