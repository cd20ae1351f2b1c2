"""Files that matter are replaced whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from bibd.durable import sync_directory, write_file


def test_new_file_has_the_content_and_the_mode_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "f"
    before = os.umask(0o777)
    try:
        write_file(path, b"new", mode=0o640)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert path.read_bytes() == b"new"


def test_replacing_changes_content_and_mode_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    path.chmod(0o666)
    write_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["f"]  # noqa: PTH208 - names


def test_owner_is_set(tmp_path: Path) -> None:
    write_file(tmp_path / "f", b"", owner=(os.geteuid(), os.getegid()))
    assert (tmp_path / "f").stat().st_uid == os.geteuid()


def _make_and_return(real_open: Callable[[Path, int, int], int], result: int, path: Path, flags: int, mode: int) -> int:
    os.close(real_open(path, flags, mode))
    return result


def _nothing(_descriptor: int, _mode: int) -> None:
    pass


@pytest.mark.parametrize("call", ["write", "fsync", "fchmod", "rename"])
def test_any_failure_leaves_the_old_file_and_no_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")

    def full(*_args: object, **_kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    content = b"new"
    with monkeypatch.context() as patch:
        match call:
            case "rename":
                patch.setattr(Path, "replace", full)
            case "write":
                # A real full device takes the place of the temporary file.
                full_device = os.open("/dev/full", os.O_WRONLY)
                patch.setattr(os, "open", partial(_make_and_return, os.open, full_device))
                patch.setattr(os, "fchmod", _nothing)  # not our device to change
            case _:
                patch.setattr(os, call, full)
        with pytest.raises(OSError, match="No space left"):
            write_file(path, content)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]


def test_data_is_synced_before_the_rename_and_the_directory_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        order.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        real_fsync(descriptor)

    def replace(self: Path, target: Path) -> Path:
        order.append("rename")
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    write_file(tmp_path / "f", b"x")
    assert order == ["file", "rename", "directory"]


def test_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_file(tmp_path / "missing" / "f", b"x")
    with pytest.raises(FileNotFoundError):
        sync_directory(tmp_path / "missing")
