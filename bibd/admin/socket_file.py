"""The socket's name in the file system: bound 0600, a stale one recognised, removed only when it is still ours."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bibd.errors import BibdError

# sun_path is 108 bytes with its NUL, unix(7).
PATH_BYTES = 107
# The kernel caps it at net.core.somaxconn.
BACKLOG = 128


@dataclass(frozen=True, slots=True)
class BoundSocket:
    listener: socket.socket
    path: Path
    identity: tuple[int, int]

    def remove(self) -> None:
        """Unlink the name, unless another server has taken it since."""
        with suppress(OSError):
            if _identity(self.path) == self.identity:
                self.path.unlink()


def bind(path: Path) -> BoundSocket:
    """A listening, non-blocking socket at ``path``. Raises BibdError, then nothing has changed."""
    if len(os.fsencode(path)) > PATH_BYTES:
        raise BibdError(
            f"the admin socket's path is longer than {PATH_BYTES} bytes: {path}", "set admin.socket to a shorter path"
        )
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        listener.setblocking(False)
        listener.bind(str(path))
        # Nobody can connect before listen(2), so there is no moment with wider permissions.
        path.chmod(0o600)
        bound = BoundSocket(listener, path, _identity(path))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise BibdError(
            f"cannot open the admin socket {path}: {error.strerror}",
            f"{path.parent} must be a directory that this account may write, or set admin.socket",
        ) from error
    except BibdError:
        listener.close()
        raise
    return bound


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise BibdError(f"{path} is not a socket", "move it away, or set admin.socket to another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a full backlog answers EAGAIN: somebody listens
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            pass
    raise BibdError(f"another daemon answers on {path}", "stop it first: bib admin shutdown")


def _identity(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_dev, status.st_ino
