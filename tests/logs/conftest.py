"""A log set up on a temporary directory, taken down afterwards."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bibd.logs.setup import Format, Logs, setup


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Log:
    """What was written, and where."""

    def __init__(self, directory: Path) -> None:
        self.stderr = io.StringIO()
        self.directory = directory
        self.logs: Logs | None = None

    def start(self, fmt: Format = "auto", *, level: str = "info", environ: dict[str, str] | None = None) -> Logs:
        self.logs = setup(
            level=level,
            fmt=fmt,
            log_dir=self.directory,
            redact_fields=["password", "token", "key", "secret"],
            node="node-1",
            stderr=self.stderr,
            environ=environ or {},
        )
        return self.logs

    @property
    def file(self) -> list[dict[str, Any]]:
        """The lines of bibd.log, each of which must be JSON."""
        content = (self.directory / "bibd.log").read_text(encoding="utf-8")
        assert content == "" or content.endswith("\n")
        return [json.loads(line) for line in content.split("\n")[:-1]]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log(tmp_path / "logs")
    yield log
    if log.logs is not None:
        log.logs.close()
