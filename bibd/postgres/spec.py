"""What an embedded server is to be, and what one turned out to be."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bibd.errors import BibdError, ConfigError, IntegrityError
from bibd.postgres import conf

# sun_path holds 108 bytes with its NUL (unix(7)); the server's socket is called .s.PGSQL.65535 at most.
_RUN_PATH_LIMIT = 107 - len("/.s.PGSQL.65535")


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """What to run and where; nothing is read from global state. Paths are absolute."""

    data: Path
    run: Path  # the Unix socket's directory
    certs: Path
    dist: Path
    log_file: Path
    service_file: Path
    root: Path  # bibd's data directory
    bin_dir: str = ""
    bind_address: str = "127.0.0.1"
    port: int = 5432  # 0: a free one, kept
    max_connections: int = 100
    memory_mb: int = 512
    settings: Mapping[str, conf.Value] = field(default_factory=dict[str, conf.Value])
    tls: Literal["auto", "true", "false"] | bool = "auto"
    tls_cert_dir: str = ""
    tls_auto_generate: bool = True
    startup_timeout: float = 60.0  # seconds
    node: str = "bibd"

    @property
    def cluster(self) -> str:
        """cluster_name: shown in the titles of the server's processes."""
        return f"bibd-{self.node}"[:63]

    @property
    def port_file(self) -> Path:
        return self.run.parent / "port"

    def check(self) -> None:
        """Raises BibdError for what cannot work, before anything is made."""
        conf.check_settings(self.settings)
        if len(os.fsencode(self.run)) > _RUN_PATH_LIMIT:
            raise BibdError(
                f"the path of the Unix socket is too long: {self.run} (at most {_RUN_PATH_LIMIT} bytes)",
                "set server.data_dir to a shorter path",
            )
        if "," in str(self.run):
            # PQconnectdb's host is a list (PostgreSQL documentation, 34.1.1.3), without a way to quote.
            raise ConfigError(
                f"the path of the Unix socket holds a comma, at which clients split it: {self.run}",
                "set server.data_dir to a path without a comma",
            )

    def check_not_vanished(self) -> None:
        """What has ever served is not made anew: an empty database would take the place of the lost one, and clients
        would write into it, while most often a file system is just not mounted. The service file is written when a
        server has answered for the first time, so a first start that was cut off begins again."""
        if self.service_file.exists() and not (self.data / "PG_VERSION").exists():
            raise IntegrityError(
                f"the data directory {self.data} is gone, or it has no PG_VERSION any more",
                "mount its file system, or restore it from a backup: bibd goes on as soon as it is back. "
                f"To begin with an empty database, remove {self.service_file}",
            )


@dataclass(frozen=True, slots=True)
class Running:
    """``note`` says what was found on the way, such as a stale PID file; "" when nothing."""

    pid: int
    port: int
    version: str
    major: int
    binaries: Path
    source: str
    tls: bool
    adopted: bool
    note: str
