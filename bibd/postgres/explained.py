"""What the machine refuses, as errors that say what to do."""

from __future__ import annotations

import errno
from collections.abc import Generator
from contextlib import contextmanager

from bibd.errors import BibdError

_HINTS = {
    errno.ENOSPC: "free some space on its file system",
    errno.EDQUOT: "free some space, or raise the quota of that account",
    errno.EROFS: "make its file system writable: look at dmesg why it is not",
    errno.EMFILE: "raise the limit of open files (ulimit -n, LimitNOFILE=)",
    errno.ENFILE: "raise the limit of open files of the machine (sysctl fs.file-max)",
    errno.EAGAIN: "raise the limit of processes (ulimit -u, TasksMax=)",
    errno.ENOMEM: "free some memory",
}


@contextmanager
def explained() -> Generator[None]:
    """OSError becomes BibdError. What the machine refuses is no defect of ours: it can be mended, and until then the
    node goes on looking, where a crash would use up its restarts."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        hint = _HINTS.get(error.errno or 0, "look at the data directory: its files, their owners and their rights")
        raise BibdError(f"cannot bring PostgreSQL up or down: {where}{error.strerror or error}", hint) from error
