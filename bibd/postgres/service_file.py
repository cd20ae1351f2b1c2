"""``pg_service.conf``: ``PGSERVICEFILE=… psql service=bibd`` (PostgreSQL documentation, 34.17)."""

from __future__ import annotations

from pathlib import Path

from bibd.durable import write_file
from bibd.postgres.endpoint import Endpoint

SERVICE = "bibd"


def render(endpoint: Endpoint) -> str:
    """libpq knows no quoting here: the rest of the line is the value."""
    lines = [f"{name}={value}" for name, value in endpoint.parameters().items()]
    return "\n".join(["# Written by bibd at each start.", f"[{SERVICE}]", *lines, ""])


def keep(path: Path, endpoint: Endpoint) -> None:
    """Write ``path`` (0600) when it says something else."""
    content = render(endpoint).encode()
    if not path.exists() or path.read_bytes() != content:
        write_file(path, content)
