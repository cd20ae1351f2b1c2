"""The account the server runs as: PostgreSQL refuses to run as root (PostgreSQL documentation, 18.1)."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bibd.errors import BibdError

# bibd adds no users: a package may bring `bibd`, a system PostgreSQL brings `postgres`, every Unix has `nobody`.
PREFERRED = ("bibd", "postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """``switch`` is true when bibd is root and a child process must give up its rights."""

    uid: int
    gid: int
    name: str
    switch: bool

    @property
    def owner(self) -> tuple[int, int] | None:
        """(uid, gid) for files that the server must own; None when everything is ours already."""
        return (self.uid, self.gid) if self.switch else None


def choose(data: Path, *, euid: int, preferred: Sequence[str] = PREFERRED) -> Account:
    """Oneself; as root the owner of an existing data directory, else the first of ``preferred`` that exists.

    Raises BibdError when root owns the data directory or no account exists.
    """
    if euid != 0:
        return Account(euid, os.getegid(), _name(euid), switch=False)
    if (data / "PG_VERSION").exists():
        status = data.stat()
        if status.st_uid == 0:
            raise BibdError(
                f"data directory {data} belongs to root, and PostgreSQL never runs as root",
                f"give it to an unprivileged account: chown -R postgres {data}",
            )
        return Account(status.st_uid, status.st_gid, _name(status.st_uid), switch=True)
    for name in preferred:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(entry.pw_uid, entry.pw_gid, name, switch=True)
    raise BibdError(
        f"no unprivileged account to run PostgreSQL as (looked for {', '.join(preferred)})",
        "add one (useradd --system bibd), or start bibd as an ordinary user",
    )


def prepare_directories(root: Path, owned: Sequence[Path], account: Account) -> None:
    """Make ``root`` (0710, so that the account alone may pass) and ``owned`` (0700, the account's).

    Raises BibdError when one cannot be made, or the account cannot get there.
    """
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if account.switch:
            os.chown(root, -1, account.gid)
            root.chmod(0o710)
        for path in owned:
            _make_owned(path, account)
    except OSError as error:
        raise BibdError(
            f"permission denied: cannot make {error.filename or root}: {error.strerror}"
            if isinstance(error, PermissionError)
            else f"cannot make {error.filename or root}: {error.strerror}",
            "set server.data_dir to a directory that bibd may write",
        ) from error
    for path in owned:
        require_reachable(path, account)


def _make_owned(path: Path, account: Account) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.lstat()
    # Root must not follow a link that the less privileged account could have planted.
    if account.switch and path.is_symlink():
        raise BibdError(f"{path} is a symbolic link", "use a real directory, or set database.postgres.data_dir")
    if account.switch and (status.st_uid, status.st_gid) != (account.uid, account.gid):
        os.chown(path, account.uid, account.gid)
    if status.st_mode & 0o7777 != 0o700:
        path.chmod(0o700)


def require_reachable(path: Path, account: Account) -> None:
    """Raise BibdError naming the first parent of ``path`` that the account may not traverse."""
    if not account.switch:
        return
    for parent in reversed(path.resolve().parents):
        if _mode_allows(parent, account) or _really_reachable(parent, account):
            continue
        raise BibdError(
            f"permission denied: account {account.name}, which runs PostgreSQL, cannot traverse {parent}",
            f"set server.data_dir to a directory outside it, or let the account pass: chmod o+x {parent}",
        )


def _mode_allows(path: Path, account: Account) -> bool:
    status = path.stat()
    if status.st_uid == account.uid:
        return bool(status.st_mode & 0o100)
    if status.st_gid == account.gid:
        return bool(status.st_mode & 0o010)
    return bool(status.st_mode & 0o001)


def _really_reachable(path: Path, account: Account) -> bool:
    """The mode bits say no, an access control list may still say yes: let the account try."""
    attempt = subprocess.run(
        ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(path)],
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        cwd="/",
        env={},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return attempt.returncode == 0


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
