"""The account of the server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bibd.errors import BibdError
from bibd.postgres.account import choose


def test_ordinary_user_runs_the_server_as_itself() -> None:
    account = choose(Path("/nonexistent"), euid=1234)
    assert (account.uid, account.switch, account.owner) == (1234, False, None)


def test_root_takes_the_first_account_that_exists() -> None:
    account = choose(Path("/nonexistent"), euid=0, preferred=("no-such-account", "nobody", "root"))
    assert (account.name, account.switch) == ("nobody", True)


def test_root_is_never_an_account_for_the_server() -> None:
    with pytest.raises(BibdError, match="no unprivileged account") as caught:
        choose(Path("/nonexistent"), euid=0, preferred=("no-such-account", "root"))
    assert "useradd" in caught.value.hint


def test_existing_data_directory_decides_for_its_owner(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "PG_VERSION").write_text("18\n")
    if os.geteuid() != 0:
        assert choose(data_dir, euid=0).uid == os.geteuid()
        return
    with pytest.raises(BibdError, match="belongs to root"):
        choose(data_dir, euid=0)
    os.chown(data_dir, 4321, 4322)
    account = choose(data_dir, euid=0)
    assert account.owner == (4321, 4322)
