from __future__ import annotations

import re

import pytest
import yaml
from pydantic import ValidationError

from bibd.config import fields, unbuilt
from bibd.config.load import load
from bibd.config.model import Health, Postgres, Server, Settings
from tests.config.support import EXAMPLE, leaves


def test_the_example_loads_without_warning_and_equals_the_defaults() -> None:
    loaded = load(EXAMPLE, {}, {})
    assert loaded.settings == Settings()
    assert loaded.warnings == ()


def test_the_example_has_every_key_of_the_model_and_no_other() -> None:
    found = leaves(yaml.safe_load(EXAMPLE.read_text()), set(fields.fields()))
    assert found.keys() == fields.fields().keys()


def test_every_key_of_the_example_has_a_sentence_and_what_is_not_available_says_so() -> None:
    lines = EXAMPLE.read_text().splitlines()
    loaded = load(EXAMPLE, {}, {})
    for key, origin in loaded.origin.items():
        above = int(re.fullmatch(r"file .*:(\d+)", origin)[1]) - 2  # type: ignore[index]
        comment = ""
        while lines[above].lstrip().startswith("# "):
            comment = f"{lines[above].strip()} {comment}"
            above -= 1
        assert comment, key
        assert ("Not available yet" in comment) == (key in unbuilt.SWITCHES), key


def test_defaults_are_valid() -> None:
    assert Settings.model_validate({key: {} for key in ("server", "database", "p2p")}) == Settings()
    for key, field in fields.fields().items():
        tree: dict[str, object] = {key.rsplit(".", 1)[-1]: field.default}
        for name in reversed(key.split(".")[:-1]):
            tree = {name: tree}
        assert Settings.model_validate(tree) == Settings(), key


def test_models_built_in_python_take_seconds_and_are_frozen() -> None:
    health = Health(interval=0.05, timeout=1)
    assert health.interval == 0.05
    with pytest.raises(ValidationError):
        health.interval = 2.0  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValidationError):
        Health(interval=0)
    with pytest.raises(ValidationError):
        Server.model_validate({"nonsense": 1})


def test_errors_of_the_models_do_not_repeat_their_input() -> None:
    with pytest.raises(ValidationError) as caught:
        Postgres.model_validate({"dsn": ["hunter2"]})
    assert "hunter2" not in str(caught.value)


def test_every_unbuilt_row_names_keys_of_the_model_and_its_default_is_off() -> None:
    for row in unbuilt.UNBUILT:
        assert fields.value(Settings(), row.switch) in row.off, row.switch
        for option in row.options:
            assert option in fields.fields() or option in fields.sections(), option
