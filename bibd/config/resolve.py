"""Paths that follow from the configuration. All are absolute; nothing is looked up or made."""

from __future__ import annotations

import os
from pathlib import Path

from bibd.config.model import Settings
from bibd.datadir import DataDir
from bibd.errors import ConfigError

# unix(7): sun_path holds 108 bytes with the closing NUL.
MAX_SOCKET_PATH = 107


def data_dir(settings: Settings, *, home: Path, euid: int) -> Path:
    """``server.data_dir``, or its default for this account. Raises ConfigError when ``home`` is needed and relative."""
    configured = settings.server.data_dir
    if not configured:
        path = Path("/var/lib/bibd") if euid == 0 else home / ".local/share/bibd"
    elif configured == "~" or configured.startswith("~/"):
        path = home / configured[2:]
    else:
        path = Path(configured)
    if not path.is_absolute():
        raise ConfigError(f"the data directory {path} is not an absolute path", "set server.data_dir, or HOME")
    return path


def admin_socket(settings: Settings, root: Path) -> Path:
    """The control socket of the daemon on the data directory ``root``."""
    return Path(settings.admin.socket) if settings.admin.socket else DataDir(root).admin_socket


def log_dir(settings: Settings, root: Path) -> Path:
    return Path(settings.log.dir) if settings.log.dir else DataDir(root).logs


def pid_file(settings: Settings, root: Path) -> Path:
    return Path(settings.server.pid_file) if settings.server.pid_file else DataDir(root).pid_file


def check_socket_paths(settings: Settings, root: Path) -> None:
    """Raises ConfigError when the kernel has no room for the path of a socket below ``root``."""
    sockets = [("admin.socket", admin_socket(settings, root))]
    if settings.database.backend == "postgres":
        # Port 0 becomes one of at most five digits.
        port = settings.database.postgres.port or 65535
        sockets.append(("the socket of PostgreSQL", DataDir(root).postgres_run / f".s.PGSQL.{port}"))
    for what, path in sockets:
        length = len(os.fsencode(path))
        if length > MAX_SOCKET_PATH:
            shorter = "admin.socket" if settings.admin.socket and what == "admin.socket" else "server.data_dir"
            raise ConfigError(
                f"{what} is too long: {path} has {length} bytes, a Unix socket's path holds {MAX_SOCKET_PATH}",
                f"choose a shorter {shorter}",
            )
