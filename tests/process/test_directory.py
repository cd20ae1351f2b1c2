"""The data directory is private, ours and writable; or bibd says why not."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from bibd.errors import BibdError
from bibd.process.directory import prepare

OTHER = 65534 if os.geteuid() != 65534 else 65533


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_made_private_with_its_parts_and_again_without_change(tmp_path: Path) -> None:
    root = tmp_path / "a" / "d"
    for _ in range(2):
        data = prepare(root)
        assert {path.name for path in root.iterdir()} == {"secrets", "logs"}
        assert [mode(path) for path in (root, data.secrets, data.logs)] == [0o700] * 3


@pytest.mark.parametrize(("before", "after"), [(0o710, 0o710), (0o700, 0o700), (0o755, 0o710), (0o777, 0o710)])
def test_an_empty_directory_is_closed_to_others_but_may_be_passed_through_by_its_group(
    tmp_path: Path, before: int, after: int
) -> None:
    tmp_path.chmod(before)
    prepare(tmp_path)
    assert mode(tmp_path) == after


def test_a_data_directory_that_was_opened_to_others_is_closed_again(tmp_path: Path) -> None:
    data = prepare(tmp_path / "d")
    data.root.chmod(0o755)
    data.secrets.chmod(0o755)
    prepare(data.root)
    assert mode(data.root) == 0o710
    assert mode(data.secrets) == 0o700


def test_somebody_elses_full_directory_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "etc").mkdir()
    with pytest.raises(BibdError, match="holds files that are not bibd's") as refused:
        prepare(tmp_path)
    assert "chmod 700" in refused.value.hint
    assert mode(tmp_path) == 0o755
    assert [path.name for path in tmp_path.iterdir()] == ["etc"]


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d").touch()
    with pytest.raises(BibdError, match="is not a directory"):
        prepare(tmp_path / "d")
    with pytest.raises(BibdError, match="Not a directory"):
        prepare(tmp_path / "d" / "deeper")


def test_a_link_to_our_own_directory_is_followed_and_a_broken_one_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    prepare(tmp_path / "link")
    assert (tmp_path / "real" / "secrets").is_dir()
    (tmp_path / "broken").symlink_to("nowhere")
    with pytest.raises(BibdError, match="leads nowhere"):
        prepare(tmp_path / "broken")


def test_a_part_that_is_a_link_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "d"
    prepare(root)
    (root / "secrets").rmdir()
    (root / "secrets").symlink_to(tmp_path)
    with pytest.raises(BibdError, match="secrets is not a directory"):
        prepare(root)


def test_a_directory_of_another_account_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As the other account sees it; chown(2) would need root.
    monkeypatch.setattr(os, "geteuid", lambda: OTHER)
    with pytest.raises(BibdError, match=r"^permission denied: data directory .* belongs to") as refused:
        prepare(tmp_path)
    assert "server.data_dir" in refused.value.hint
    assert refused.value.exit_code == 1


def test_a_parent_that_cannot_be_written_is_permission_denied(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:  # root passes any permission bits, so the child drops it
        try:
            if os.geteuid() == 0:
                os.seteuid(OTHER)
            prepare(tmp_path / "d")
            os.write(writer, b"no error")
        except BibdError as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as result:  # noqa: PTH123 - a descriptor
        said = result.read().decode()
    os.waitpid(pid, 0)
    tmp_path.chmod(0o755)
    assert said.startswith(f"permission denied: data directory {tmp_path}/d")
    assert "\nHINT: " in said


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.EACCES, "permission denied"),
        (errno.ENOSPC, "No space left"),
        (errno.EROFS, "Read-only file system"),
        (errno.EDQUOT, "Disk quota exceeded"),
    ],
)
def test_a_directory_that_cannot_be_written_names_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, said: str
) -> None:
    def fails(_descriptor: int, _data: bytes) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fails)
        with pytest.raises(BibdError, match=said) as refused:
            prepare(tmp_path / "d")
    assert refused.value.hint
    assert not list((tmp_path / "d").glob(".probe*"))
