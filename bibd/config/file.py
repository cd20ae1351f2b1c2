"""The configuration file: which one, and its text."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from bibd.errors import ConfigError

SYSTEM_FILE = Path("/etc/bibd/config.yaml")
# The example has some 250 lines; a megabyte is a wrong file.
MAX_BYTES = 2**20


def find_file(
    flag: Path | None, env: Mapping[str, str], home: Path, euid: int, *, system: Path = SYSTEM_FILE
) -> Path | None:
    """The file to load: ``--config``, ``$BIBD_CONFIG``, the account's own, the system's; None when there is none.

    Raises ConfigError when a file that was named is missing, when a place cannot be looked at, and when root would
    obey a file that belongs to another account.
    """
    named = [("--config", flag), ("BIBD_CONFIG", Path(env["BIBD_CONFIG"]) if env.get("BIBD_CONFIG") else None)]
    for source, path in named:
        if path is not None:
            expanded = home / Path(*path.parts[1:]) if path.parts[:1] == ("~",) else path
            if _status(expanded) is None:
                raise ConfigError(f"{expanded}: there is no such file ({source})", "correct the path, or leave it out")
            return expanded
    # XDG Base Directory Specification: a relative path there is to be ignored.
    xdg = Path(env.get("XDG_CONFIG_HOME", ""))
    own = (xdg if xdg.is_absolute() else home / ".config") / "bibd/config.yaml"
    found = _status(own)
    if found is not None:
        # Under sudo HOME may be the user's: then that user's file would decide what root runs.
        if euid == 0 and found.st_uid != 0:
            raise ConfigError(
                f"{own} belongs to uid {found.st_uid}, and bibd runs as root",
                "chown it to root, or name it with --config",
            )
        return own
    return system if _status(system) is not None else None


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as failure:
        raise _unreadable(path, failure) from None


def read(path: Path) -> str:
    """The text of the file. Raises ConfigError."""
    try:
        with os.fdopen(_open(path), "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as failure:
        raise _unreadable(path, failure) from None
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_BYTES} bytes", "it is not a configuration: name another file")
    try:
        return content.decode()
    except UnicodeDecodeError as failure:
        line = content.count(b"\n", 0, failure.start) + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8 text", "save the file as UTF-8") from None


def _open(path: Path) -> int:
    # O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISREG(kind):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(kind):
        raise OSError(errno.EISDIR, "it is a directory")
    raise OSError(errno.EINVAL, "it is not a regular file, so a reload could not read it again")


def _unreadable(path: Path, failure: OSError | ValueError) -> ConfigError:
    # A path may hold anything, a NUL too, which is the ValueError.
    reason = failure.strerror if isinstance(failure, OSError) else str(failure)
    name = str(path) if str(path).isprintable() else repr(str(path))
    return ConfigError(
        f"{name} cannot be read: {reason}",
        "make it readable for the account that runs bibd, or name another file with --config",
    )
