"""bibd.sum: an edited, missing or added file is named, and two branches with the same number conflict in git."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from bibd.errors import BibdError, IntegrityError
from bibd.migrations.new import write_sums
from bibd.migrations.source import read
from bibd.migrations.sums import FILE_NAME, render, verify
from tests.migrations.samples import migration


def check(directory: Path) -> None:
    verify(directory, read(directory))


@pytest.fixture
def summed(tmp_path: Path) -> Path:
    """Three migrations, the second without a down file, and their sums."""
    for stem in ("000001_a", "000002_b", "000003_c"):
        (tmp_path / f"{stem}.up.sql").write_text(f"SELECT '{stem}';\n")
        if stem != "000002_b":
            (tmp_path / f"{stem}.down.sql").write_text(f"-- {stem}\n")
    write_sums(tmp_path)
    check(tmp_path)
    return tmp_path


def test_the_format_is_a_header_and_a_line_for_each_migration() -> None:
    one, two = migration(1), migration(2, down=False)
    assert render((one, two)) == (
        f"bibd.sum 1\n000001_m1 sha256:{one.checksum} sha256:{one.down_checksum}\n000002_m2 sha256:{two.checksum} -\n"
    )
    assert render((one, two), drafts=["000002_m2"]).endswith("\n000002_m2 draft\n")
    assert render(()) == "bibd.sum 1\n"


def test_without_sums_nothing_is_checked(summed: Path) -> None:
    (summed / FILE_NAME).unlink()
    (summed / "000001_a.up.sql").write_text("SELECT 2;")
    check(summed)


@pytest.mark.parametrize("name", ["000001_a.up.sql", "000001_a.down.sql", "000002_b.up.sql"])
def test_an_edited_file_is_named(summed: Path, name: str) -> None:
    with (summed / name).open("a") as file:
        file.write(" ")
    (summed / "000003_c.up.sql").write_text("the first one that differs is named")
    with pytest.raises(IntegrityError, match=f"{name} is not what bibd.sum has") as refused:
        check(summed)
    assert "bib migrate sum" in refused.value.hint


def test_a_missing_and_an_added_file_are_named(summed: Path) -> None:
    (summed / "000003_c.down.sql").unlink()
    with pytest.raises(IntegrityError, match=r"000003_c\.down\.sql is missing"):
        check(summed)
    (summed / "000003_c.up.sql").unlink()
    with pytest.raises(IntegrityError, match=r"000003_c\.up\.sql is missing"):
        check(summed)
    (summed / "000003_d.up.sql").touch()
    with pytest.raises(IntegrityError, match=r"000003_c\.up\.sql is missing"):
        check(summed)
    (summed / "000002_b.down.sql").touch()
    with pytest.raises(IntegrityError, match=r"000002_b\.down\.sql is not in bibd\.sum"):
        check(summed)


def test_an_added_migration_is_named(summed: Path) -> None:
    (summed / "000004_d.up.sql").touch()
    with pytest.raises(IntegrityError, match=r"000004_d\.up\.sql is not in bibd\.sum"):
        check(summed)


def test_a_draft_may_change_but_not_go(summed: Path) -> None:
    (summed / FILE_NAME).write_text(render(read(summed), drafts=["000003_c"]))
    (summed / "000003_c.up.sql").write_text("SELECT 'still being written';")
    (summed / "000003_c.down.sql").unlink()
    check(summed)
    (summed / "000003_c.up.sql").unlink()
    with pytest.raises(IntegrityError, match=r"000003_c\.up\.sql is missing"):
        check(summed)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", r"bibd\.sum:1: the first line is not 'bibd\.sum 1'"),
        ("bibd.sum 2\n", r"bibd\.sum:1: the first line"),
        ("bibd.sum 1\nwhat?\n", r"bibd\.sum:2: not a line of bibd\.sum"),
        ("bibd.sum 1\n000001_a draft\n000001_a draft\n", r"bibd\.sum:3: .* or twice: '000001_a draft'"),
        ("bibd.sum 1\n000001_a sha256:00 -\n", r"bibd\.sum:2: not a line"),
        ("bibd.sum 1\n\n", r"bibd\.sum:2: not a line"),
    ],
)
def test_a_file_that_is_no_bibd_sum_is_an_integrity_error(summed: Path, content: str, said: str) -> None:
    (summed / FILE_NAME).write_text(content)
    with pytest.raises(IntegrityError, match=said):
        check(summed)


def test_one_that_cannot_be_read_is_named(summed: Path) -> None:
    (summed / FILE_NAME).unlink()
    (summed / FILE_NAME).mkdir()
    with pytest.raises(BibdError, match=r"cannot read .*bibd\.sum"):
        check(summed)


def test_windows_line_ends_are_taken(summed: Path) -> None:
    (summed / FILE_NAME).write_bytes((summed / FILE_NAME).read_bytes().replace(b"\n", b"\r\n"))
    check(summed)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("000004_ours", "000004_theirs"),
        ("000004_ours", "000005_theirs"),
        ("20250101120000_ours", "20250101120001_theirs"),
    ],
)
def test_two_branches_that_add_a_migration_conflict_in_git(summed: Path, ours: str, theirs: str) -> None:
    # Run by a git hook, GIT_DIR names the repository of this file.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}

    def git(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["git", *arguments]
        return subprocess.run(command, cwd=summed, env=environment, capture_output=True, text=True, check=False)

    def commit_migration(stem: str) -> None:
        # As `bib migrate new` does, but with the number given: 000005 is not the next one of this branch.
        (summed / f"{stem}.up.sql").write_text(f"SELECT '{stem}';\n")
        found = (summed / FILE_NAME).read_text()
        (summed / FILE_NAME).write_text(f"{found}{stem} draft\n")
        assert git("add", ".").returncode == 0
        assert git("commit", "-m", stem).returncode == 0

    assert git("init", "--initial-branch", "main").returncode == 0
    for key, value in (("user.name", "test"), ("user.email", "test@example.org"), ("commit.gpgsign", "false")):
        assert git("config", key, value).returncode == 0
    assert git("add", ".").returncode == 0
    assert git("commit", "-m", "three migrations").returncode == 0
    assert git("checkout", "-b", "theirs").returncode == 0
    commit_migration(theirs)
    assert git("checkout", "main").returncode == 0
    commit_migration(ours)
    merge = git("merge", "theirs")
    assert merge.returncode == 1
    assert git("diff", "--name-only", "--diff-filter=U").stdout.split() == [FILE_NAME], "and nothing else conflicts"
    with pytest.raises(BibdError) as refused:
        verify(summed, ())
    assert "merge conflict" in refused.value.message
