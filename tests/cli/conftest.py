"""``bib`` in this process and as a process of its own, away from the account's own configuration."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bibd.admin.server import AdminServer
from bibd.cli.__main__ import run
from tests.admin.fake_daemon import serving

BIB = (sys.executable, "-m", "bibd.cli")


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Bib = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def home(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and no BIBD_ variable."""
    data_dir.mkdir()
    for name in [name for name in os.environ if name.startswith(("BIBD_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(data_dir))
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    return data_dir


@pytest.fixture
def socket_path(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = home / "admin.sock"
    monkeypatch.setenv("BIBD_ADMIN__SOCKET", str(path))
    return path


@pytest.fixture
def daemon(socket_path: Path) -> Iterator[AdminServer]:
    with serving(socket_path) as server:
        yield server


@pytest.fixture
def bib(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bib:
    """Run a command line in this process."""

    def call(*args: str, stdin: str = "") -> Outcome:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        capsys.readouterr()
        code = run(args)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture
def bib_process() -> Bib:
    """Run a command line as a process; ``input`` is its stdin."""

    def call(*args: str, stdin: str = "") -> Outcome:
        done = subprocess.run([*BIB, *args], input=stdin, capture_output=True, text=True, timeout=30, check=False)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call
