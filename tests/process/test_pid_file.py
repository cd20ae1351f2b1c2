"""The PID file names a running daemon or is known to be stale."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bibd.errors import BibdError
from bibd.process.pid_file import PidFile


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_written_for_kill_and_removed(tmp_path: Path) -> None:
    file = PidFile(tmp_path / "bibd.pid")
    assert file.write(os.getpid()) is None
    assert file.path.read_text() == f"{os.getpid()}\n"
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.running() == file.read() == os.getpid()
    file.remove(os.getpid())
    assert not file.path.exists()
    file.remove(os.getpid())


def test_stale_pid_file_is_recognised_and_replaced(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    file = PidFile(tmp_path / "bibd.pid")
    file.path.write_text(f"{gone.pid}\n")
    assert file.running() is None
    assert file.write(os.getpid()) == gone.pid
    assert file.read() == os.getpid()


def test_recycled_pid_is_recognised(tmp_path: Path, child: subprocess.Popen[bytes]) -> None:
    file = PidFile(tmp_path / "bibd.pid")
    file.path.write_text(f"{child.pid}\n")
    assert file.running() == child.pid
    # Written an hour before that process started: by another one, which had the same number.
    an_hour_ago = time.time() - 3600
    os.utime(file.path, (an_hour_ago, an_hour_ago))
    assert file.running() is None
    assert file.write(os.getpid()) == child.pid


def test_zombie_does_not_count_as_running(tmp_path: Path, child: subprocess.Popen[bytes]) -> None:
    file = PidFile(tmp_path / "bibd.pid")
    file.path.write_text(f"{child.pid}\n")
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, not reaped
    assert file.running() is None


def test_file_of_another_live_daemon_is_neither_overwritten_nor_removed(
    tmp_path: Path, child: subprocess.Popen[bytes]
) -> None:
    file = PidFile(tmp_path / "bibd.pid")
    file.write(child.pid)
    with pytest.raises(BibdError, match=f"pid {child.pid}") as refused:
        file.write(os.getpid())
    assert "server.pid_file" in refused.value.hint
    file.remove(os.getpid())
    assert file.read() == child.pid


@pytest.mark.parametrize("content", [b"", b"\n", b"abc\n", b"-1\n", b"0\n", b"\xff\xfe", b"9" * 100, b"4194305000\n"])
def test_nonsense_in_the_file_is_no_running_process(tmp_path: Path, content: bytes) -> None:
    file = PidFile(tmp_path / "bibd.pid")
    file.path.write_bytes(content)
    assert file.running() is None
    file.write(os.getpid())
    assert file.read() == os.getpid()


def test_directory_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BibdError, match=r"cannot write the PID file .*missing/bibd\.pid"):
        PidFile(tmp_path / "missing" / "bibd.pid").write(1)
