"""The data directory: private, ours, writable; or a clear refusal."""

from __future__ import annotations

import os
import pwd
import stat
from contextlib import suppress
from pathlib import Path

from bibd.datadir import DataDir
from bibd.errors import BibdError

# Others have no business here. The group may pass through (0710), never look: the account that PostgreSQL
# runs under, when bibd is root, reaches postgres/ that way.
_ALLOWED = 0o710


def prepare(root: Path) -> DataDir:
    """Make ``root`` (absolute) and what bibd keeps below it, 0700; check that it is a directory of our own.

    An existing directory that others may read is made private when it is empty or already a data directory;
    any other is refused: a mistyped ``server.data_dir: /`` must not change the permissions of ``/``.
    Raises BibdError; then nothing that existed has been changed.
    """
    try:
        with suppress(FileExistsError):
            root.mkdir(mode=0o700, parents=True)
        _check_owner(root)
        _make_private(root)
        data = DataDir(root)
        for directory in (data.secrets, data.logs):
            _subdirectory(directory)
        _check_writable(root)
    except OSError as error:
        raise _failed(root, error) from error
    return data


def _check_owner(root: Path) -> None:
    # Of a symbolic link both ends count: whoever owns the link chooses where our files go.
    for found in (root.lstat(), root.stat()):
        is_link = stat.S_ISLNK(found.st_mode)
        if not is_link and not stat.S_ISDIR(found.st_mode):
            raise BibdError(
                f"data directory {root} is not a directory", "remove that file, or set server.data_dir to another path"
            )
        if found.st_uid != os.geteuid() and not (is_link and found.st_uid == 0):
            raise BibdError(
                f"permission denied: data directory {root} belongs to {_name(found.st_uid)},"
                f" bibd runs as {_name(os.geteuid())}",
                f"run bibd as {_name(found.st_uid)}, or set server.data_dir to a directory of your own",
            )


def _make_private(root: Path) -> None:
    mode = stat.S_IMODE(root.stat().st_mode)
    if mode & ~_ALLOWED & 0o777 == 0:
        return
    # lost+found: a file system of its own, freshly made, counts as empty.
    names = {entry.name for entry in root.iterdir()} - {"lost+found"}
    data = DataDir(root)
    if names and names.isdisjoint({data.lock_file.name, data.secrets.name}):
        raise BibdError(
            f"data directory {root} is open to others (mode {mode:04o}) and holds files that are not bibd's",
            f"set server.data_dir to an empty directory, or, if this is the right one: chmod 700 {root}",
        )
    root.chmod(mode & _ALLOWED)


def _subdirectory(path: Path) -> None:
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise BibdError(
            f"{path} is not a directory (nor may it be a symbolic link)", "move it away; bibd makes it anew"
        )
    if found.st_uid != os.geteuid():
        raise BibdError(
            f"permission denied: {path} belongs to {_name(found.st_uid)}, bibd runs as {_name(os.geteuid())}",
            f"give it back: chown {os.geteuid()} {path}",
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        path.chmod(0o700)


def _check_writable(root: Path) -> None:
    # A real write: access(2) knows nothing of a full disk, and root passes it on anything.
    probe = root / f".probe.{os.getpid()}"
    with suppress(FileNotFoundError):
        probe.unlink()
    descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, bytes(4096))
    finally:
        os.close(descriptor)
        probe.unlink()


def _failed(root: Path, error: OSError) -> BibdError:
    where = error.filename if isinstance(error.filename, str) else str(root)
    if isinstance(error, PermissionError):
        return BibdError(
            f"permission denied: data directory {root}: {where} cannot be written by {_name(os.geteuid())}",
            "run bibd as the owner of that directory, or set server.data_dir to a directory of your own",
        )
    if isinstance(error, FileNotFoundError):  # mkdir met a dangling link
        return BibdError(f"data directory {root} leads nowhere", "it is a broken symbolic link: repair or remove it")
    return BibdError(
        f"cannot prepare data directory {root}: {where}: {error.strerror}",
        "free space or make the file system writable, or set server.data_dir to another one",
    )


def _name(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"
