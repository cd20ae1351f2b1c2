"""What docs/configuration.md shows is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bibd.config import modes, reload, unbuilt
from bibd.config.load import load
from tests.config.support import load_text, refusal

PAGE = (Path(__file__).parents[2] / "docs/configuration.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
YAML_BLOCKS = [text for language, text in BLOCKS if language == "yaml"]
PLAIN_BLOCKS = [text for language, text in BLOCKS if not language]


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def keys(text: str) -> set[str]:
    return set(re.findall(r"`([a-z0-9_]+(?:\.[a-z0-9_*]+)+)`", text))


@pytest.mark.parametrize("text", YAML_BLOCKS)
def test_the_examples_load_without_warning(tmp_path: Path, text: str) -> None:
    assert load_text(tmp_path, text).warnings == ()


def test_the_environment_of_the_page_loads() -> None:
    (block,) = [block for block in PLAIN_BLOCKS if block.startswith("BIBD_")]
    env = dict(line.split("=", 1) for line in block.splitlines())
    loaded = load(None, {name: value.strip("'") for name, value in env.items()}, {})
    assert len(loaded.origin) == len(env) == 5


def test_the_written_values_of_the_page_are_read(tmp_path: Path) -> None:
    rows = {
        row.split("|")[1].strip(): re.findall(r"`([^`]*)`", row.split("|")[2])
        for row in section("How values are written").splitlines()
        if row.startswith("|")
    }
    for kind, key in (
        ("duration", "server: {drain_timeout: %s}"),
        ("size", "p2p: {quota: %s}"),
        ("path", "server: {data_dir: %s}"),
        ("schedule", "database: {backup: {schedule: %s}}"),
        ("truth value", "database: {postgres: {stop_on_shutdown: %s}}"),
    ):
        assert rows[kind]
        for value in rows[kind]:
            load_text(tmp_path, key % value, env={"HOME": "/home/ada"})


def test_the_switches_of_the_page_are_those_of_the_table() -> None:
    assert keys(section("Keys of what is not available yet")) == unbuilt.SWITCHES


def test_the_live_keys_of_the_page_are_those_of_the_table() -> None:
    assert {key.removesuffix(".*") for key in keys(section("Reload"))} == set(reload.LIVE)


def test_the_modes_of_the_page_are_those_of_the_table() -> None:
    text = section("Modes and backends")
    for (mode, _), verdict in modes.VERDICTS.items():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{mode}`")]
        assert verdict.note.split(": ")[-1].removeprefix("a proxy needs no PostgreSQL, ") in row


def test_the_error_of_the_page_is_the_error(tmp_path: Path) -> None:
    (block,) = [block for block in PLAIN_BLOCKS if block.startswith("the configuration has")]
    text = "server:\n  data_dirr: /x\ndatabase:\n  postgres:\n    port: 70000\n"
    assert f"{refusal(tmp_path, text, env={'BIBD_LOG__LEVEL': 'loud'})}\n" == block
