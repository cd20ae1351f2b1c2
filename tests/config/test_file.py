from __future__ import annotations

import os
from pathlib import Path

import pytest

from bibd.config.file import MAX_BYTES, find_file, read
from bibd.config.load import load
from bibd.errors import ConfigError


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mode: full\n")
    return path


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def find(tmp_path: Path, flag: Path | None = None, *, euid: int = os.geteuid(), **env: str) -> Path | None:
    return find_file(flag, env, tmp_path / "home", euid, system=tmp_path / "etc/bibd/config.yaml")


def test_without_files_there_is_none(tmp_path: Path) -> None:
    assert find(tmp_path) is None


def test_flag_then_environment_then_own_then_system_file_is_found(tmp_path: Path) -> None:
    system = put(tmp_path / "etc/bibd/config.yaml")
    assert find(tmp_path) == system
    own = put(tmp_path / "home/.config/bibd/config.yaml")
    assert find(tmp_path) == own
    xdg = put(tmp_path / "xdg/bibd/config.yaml")
    assert find(tmp_path, XDG_CONFIG_HOME=str(tmp_path / "xdg")) == xdg
    named = put(tmp_path / "home/named.yaml")
    assert find(tmp_path, XDG_CONFIG_HOME=str(tmp_path / "xdg"), BIBD_CONFIG=str(named)) == named
    assert find(tmp_path, BIBD_CONFIG="~/named.yaml") == named
    flag = put(tmp_path / "flag.yaml")
    assert find(tmp_path, flag, BIBD_CONFIG=str(named)) == flag


def test_the_default_of_xdg_is_not_looked_at_when_xdg_is_set(tmp_path: Path) -> None:
    put(tmp_path / "home/.config/bibd/config.yaml")
    assert find(tmp_path, XDG_CONFIG_HOME=str(tmp_path / "xdg")) is None


@pytest.mark.parametrize("relative", ["", "xdg"])
def test_an_xdg_directory_that_is_not_absolute_is_ignored(tmp_path: Path, relative: str) -> None:
    own = put(tmp_path / "home/.config/bibd/config.yaml")
    assert find(tmp_path, XDG_CONFIG_HOME=relative, BIBD_CONFIG="") == own


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    put(tmp_path / "etc/bibd/config.yaml")
    with pytest.raises(ConfigError, match=r"nope\.yaml: there is no such file \(--config\)"):
        find(tmp_path, tmp_path / "nope.yaml")
    with pytest.raises(ConfigError, match=r"there is no such file \(BIBD_CONFIG\)"):
        find(tmp_path, BIBD_CONFIG=str(tmp_path / "nope.yaml"))


def test_a_place_that_cannot_be_looked_at_is_an_error(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(ConfigError, match="cannot be read: Too many levels of symbolic links"):
        find(tmp_path, XDG_CONFIG_HOME=str(loop))
    with pytest.raises(ConfigError, match="cannot be read: embedded null byte"):
        find(tmp_path, Path("/x\0"))


def test_root_does_not_obey_a_file_of_another_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = put(tmp_path / "home/.config/bibd/config.yaml")
    status = list(own.stat())
    status[4] = 1000  # st_uid
    assert find(tmp_path, euid=1000) == own

    def stat(_path: Path) -> os.stat_result:
        return os.stat_result(status)

    monkeypatch.setattr(Path, "stat", stat)
    with pytest.raises(ConfigError, match="belongs to uid 1000, and bibd runs as root"):
        find(tmp_path, euid=0)
    assert find(tmp_path, own, euid=0) == own


def test_what_is_no_text_file_is_refused_and_no_descriptor_stays_open(tmp_path: Path) -> None:
    before = open_descriptors()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    large = tmp_path / "large"
    large.write_bytes(b"#" * (MAX_BYTES + 1))
    latin = tmp_path / "latin"
    latin.write_bytes(b"mode: full\n# \xe9\n")
    for path, said in (
        (tmp_path, "cannot be read: it is a directory"),
        (tmp_path / "nope", "cannot be read: No such file or directory"),
        (fifo, "cannot be read: it is not a regular file"),
        (Path("/dev/null"), "cannot be read: it is not a regular file"),
        (large, "is larger than 1048576 bytes"),
        (latin, "latin:2: is not UTF-8 text"),
    ):
        with pytest.raises(ConfigError, match=said) as caught:
            read(path)
        assert caught.value.hint
    assert open_descriptors() == before


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may read everything, so the refusal of the kernel is played.
    path = put(tmp_path / "config.yaml")

    def refuse(*_args: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        load(path, {}, {})


def test_the_largest_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"#" * MAX_BYTES)
    assert len(read(path)) == MAX_BYTES
