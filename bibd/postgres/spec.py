"""What an embedded server is to be, and what one turned out to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bibd.postgres import conf


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
