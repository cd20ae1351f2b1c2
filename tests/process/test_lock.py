"""One daemon per data directory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bibd.errors import BibdError
from bibd.process.lock import DataDirLock

HOLD = """
import sys, signal
from pathlib import Path
from bibd.process.lock import DataDirLock
lock = DataDirLock.acquire(Path(sys.argv[1]))
print("held", flush=True)
signal.pause()
"""


def test_second_daemon_is_refused_and_told_the_pid_until_the_first_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "bibd.lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(BibdError) as refused:
                DataDirLock.acquire(path)
            assert refused.value.message == f"another bibd (pid {holder.pid}) already runs on data directory {tmp_path}"
            assert "server.data_dir" in refused.value.hint
            assert refused.value.exit_code == 1
        finally:
            holder.send_signal(signal.SIGKILL)
            holder.wait()
    # kill -9 leaves the file with its pid, and the kernel drops the lock.
    assert path.read_text() == f"{holder.pid}\n"
    DataDirLock.acquire(path).release()


def test_release_keeps_the_file_and_can_be_repeated(tmp_path: Path) -> None:
    path = tmp_path / "bibd.lock"
    lock = DataDirLock.acquire(path)
    assert path.read_text() == f"{os.getpid()}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    inode = path.stat().st_ino
    lock.release()
    lock.release()
    assert path.stat().st_ino == inode
    DataDirLock.acquire(path).release()


def test_a_child_process_does_not_keep_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "bibd.lock"
    lock = DataDirLock.acquire(path)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False) as child:
        lock.release()
        DataDirLock.acquire(path).release()
        assert child.poll() is None
        assert child.stdin is not None
        child.stdin.close()


def test_a_forked_child_without_exec_does_not_keep_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "bibd.lock"
    lock = DataDirLock.acquire(path)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    try:
        lock.release()
        DataDirLock.acquire(path).release()
    finally:
        os.close(writer)
        os.close(reader)
        os.waitpid(pid, 0)


def test_the_error_does_not_name_a_process_that_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "bibd.lock"
    lock = DataDirLock.acquire(path)
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    path.write_text(f"{gone.pid}\n")
    with pytest.raises(BibdError, match=r"^another bibd already runs"):
        DataDirLock.acquire(path)
    lock.release()


def test_a_symbolic_link_and_a_missing_directory_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bibd.lock").symlink_to(tmp_path / "victim")
    for path in (tmp_path / "bibd.lock", tmp_path / "missing" / "bibd.lock"):
        with pytest.raises(BibdError, match="cannot open the lock file") as refused:
            DataDirLock.acquire(path)
        assert refused.value.hint
    assert not (tmp_path / "victim").exists()
