"""Files that matter: a reader sees the old content or the new, also after a power cut.

The order (temporary name, fsync, rename, fsync of the directory) is the one of POSIX rename(2) and fsync(2):
a rename is atomic, but neither it nor the data is on disk before both have been synced.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_file(path: Path, content: bytes, *, mode: int = 0o600, owner: tuple[int, int] | None = None) -> None:
    """Replace ``path`` by ``content`` (permission bits ``mode``, ``owner`` = (uid, gid)), durably.

    Raises OSError; then the old file, or its absence, is unchanged.
    """
    temporary = _written(path, content, mode, owner)
    try:
        temporary.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
    sync_directory(path.parent)


def create_file(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Make ``path`` with ``content``, durably and whole, unless there is one.

    Raises FileExistsError, or another OSError; then nothing has changed. A process killed in the middle may leave
    a file named ``leftovers(path)``.
    """
    temporary = _written(path, content, mode, None)
    try:
        path.hardlink_to(temporary)  # unlike a rename it never replaces (link(2))
    finally:
        temporary.unlink()
    sync_directory(path.parent)


def leftovers(path: Path) -> str:
    """The glob pattern, in the directory of ``path``, of what a killed process may have left of writing it."""
    return f".{path.name}.*.tmp"


def _written(path: Path, content: bytes, mode: int, owner: tuple[int, int] | None) -> Path:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)  # open(2) applies the umask
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
    return temporary


def sync_directory(path: Path) -> None:
    """Make the names in ``path`` durable (fsync of a directory)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
