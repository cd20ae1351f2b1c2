"""Fixtures that every test may use."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A short path below /tmp that a server account may traverse (a Unix socket's path holds 107 bytes).

    Every PostgreSQL that still runs from a data directory below it is killed afterwards.
    """
    root = Path(tempfile.mkdtemp(prefix="bibd-", dir="/tmp"))
    root.chmod(0o711)
    try:
        yield root / "d"
    finally:
        for pid_file in root.rglob("postmaster.pid"):
            with suppress(OSError, ValueError, IndexError):
                _kill_postmaster(int(pid_file.read_text().split("\n")[0]), root)
        shutil.rmtree(root, ignore_errors=True)


def _kill_postmaster(pid: int, root: Path) -> None:
    """Only a process that was started below ``root``: the number in a PID file may be anybody's by now."""
    if Path(f"/proc/{pid}/cwd").readlink().is_relative_to(root):
        os.kill(pid, signal.SIGQUIT)
