"""One event, one line: for machines and for people, whatever the text."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from bibd.logs.setup import for_actor
from tests.logs.conftest import Log, Terminal

anything = st.text(st.characters())  # with lone surrogates and control characters


@given(message=anything, field=anything, cause=anything)
def test_any_text_is_one_line_of_json(message: str, field: str, cause: str) -> None:
    with TemporaryDirectory() as directory:
        log = Log(Path(directory))
        logs = log.start("json")
        try:
            logger.bind(field=field).info(message)
            logger.info("{}", message)
            for_actor("health").opt(exception=ValueError(cause)).error(message)
            assert len(log.file) == 3
            assert log.stderr.getvalue().count("\n") == 3
            assert [line["level"] for line in log.file] == ["info", "info", "error"]
            assert "ValueError" in log.file[2]["exception"]
        finally:
            logs.close()


@given(message=anything)
def test_in_text_no_message_can_pass_for_another_line_or_drive_the_terminal(message: str) -> None:
    with TemporaryDirectory() as directory:
        log = Log(Path(directory))
        logs = log.start("text")
        try:
            logger.info(message)
        finally:
            logs.close()
        first, *further = log.stderr.getvalue()[:-1].split("\n")
        assert " INFO     node-1 - - " in first
        assert all(line.startswith("    ") for line in further)
        assert not any(character in log.stderr.getvalue() for character in "\x1b\r\x07\x9b\x00")


def test_every_line_has_time_node_actor_and_operation(log: Log) -> None:
    log.start("json")
    logger.info("plain")
    with logger.contextualize(operation="op-7"):
        for_actor("backup").bind(size=3).warning("done in {}", 2)
    plain, bound = log.file
    assert plain["time"].endswith("Z")
    assert len(plain["time"]) == len("2026-01-01T00:00:00.000Z")
    assert (plain["node"], plain["actor"], plain["operation"]) == ("node-1", None, None)
    assert plain["source"].startswith("tests.logs.test_lines:")
    assert (bound["actor"], bound["operation"], bound["message"]) == ("backup", "op-7", "done in 2")
    assert bound["extra"] == {"size": 3}


@pytest.mark.parametrize(("fmt", "terminal", "json_expected"), [
    ("auto", True, False),
    ("auto", False, True),
    ("text", False, False),
    ("json", True, True),
])  # fmt: skip
def test_text_on_a_terminal_json_elsewhere(log: Log, fmt: str, terminal: bool, json_expected: bool) -> None:
    log.stderr = Terminal() if terminal else io.StringIO()
    log.start(fmt)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    logger.info("hello")
    line = log.stderr.getvalue()
    assert line.startswith("{") is json_expected
    if json_expected:
        assert json.loads(line)["message"] == "hello"
    assert log.file[0]["message"] == "hello"  # the file is always JSON


@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)])
def test_colour_only_on_a_terminal_that_wants_it(log: Log, environ: dict[str, str], coloured: bool) -> None:
    log.stderr = Terminal()
    log.start("text", environ=environ)
    logger.error("x")
    assert ("\x1b[31m" in log.stderr.getvalue()) is coloured


def test_fields_and_tracebacks_show_in_text(log: Log) -> None:
    log.start("text")
    try:
        os.stat("/nonexistent")  # noqa: PTH116 - any failing call
    except FileNotFoundError:
        for_actor("health").bind(attempt=2, url="postgresql://u:hunter2@h/d").exception("gave up")
    first, *further = log.stderr.getvalue()[:-1].split("\n")
    assert first.endswith('health - gave up attempt=2 url="postgresql://u:***@h/d"')
    assert further[0] == "    Traceback (most recent call last):"
    assert further[-1] == "    FileNotFoundError: [Errno 2] No such file or directory: '/nonexistent'"
