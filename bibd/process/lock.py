"""One daemon per data directory."""

from __future__ import annotations

import errno
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from bibd.errors import BibdError


@dataclass(slots=True)
class DataDirLock:
    """An exclusive flock(2) on ``bibd.lock``, held until ``release`` or until the process dies, however it dies.

    The file is never unlinked: a second daemon could hold a lock on the unlinked file and a third one on its successor.
    Its content (``pid\\n``) is for people and error messages; the lock alone decides.
    """

    _descriptor: int

    @classmethod
    def acquire(cls, path: Path) -> DataDirLock:
        """Lock ``path`` (created with mode 0600) and write our pid into it.

        Raises BibdError when another process holds it (exit code 1, not "refused": no --force makes two daemons on one
        directory safe), or when the file system cannot lock.
        """
        try:
            # O_CLOEXEC: a server that outlives the daemon must not keep the lock.
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise BibdError(
                f"cannot open the lock file {path}: {error.strerror}",
                "check the owner and the permissions of the data directory (server.data_dir)",
            ) from error
        try:
            _lock(descriptor, path)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            os.close(descriptor)
            raise BibdError(
                f"cannot write the lock file {path}: {error.strerror}", "free some space on its file system"
            ) from error
        except BibdError:
            os.close(descriptor)
            raise
        return cls(descriptor)

    def release(self) -> None:
        """Give the lock up; a second call does nothing."""
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        try:
            os.ftruncate(descriptor, 0)
            # Explicitly: a forked child that has not yet called exec shares the descriptor, and close(2) alone
            # would leave the lock with it.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = _holder(descriptor)
        name = f"another bibd (pid {holder})" if holder else "another bibd"
        raise BibdError(
            f"{name} already runs on data directory {path.parent}",
            "stop it with `bib admin shutdown`, or give this one its own directory (server.data_dir)",
        ) from error
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP):
            raise
        raise BibdError(
            f"the file system of {path.parent} cannot lock files: {error.strerror}",
            "put the data directory (server.data_dir) on a local file system",
        ) from error


def _holder(descriptor: int) -> int | None:
    """The pid in the file, unless that process is gone: the holder may have locked but not written yet."""
    content = os.pread(descriptor, 32, 0).strip()
    if not content.isdigit() or not Path(f"/proc/{int(content)}").exists():
        return None
    return int(content)
