"""What the tests of servers say again and again."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg

from bibd.datadir import DataDir
from bibd.identity import vault
from bibd.identity.node import NodeIdentity
from bibd.identity.vault import SealedVault
from bibd.postgres.endpoint import Endpoint
from bibd.postgres.server import EmbeddedServer
from bibd.postgres.spec import Running, ServerSpec


def spec_of(root: Path, **changes: Any) -> ServerSpec:
    layout = DataDir(root)
    spec = ServerSpec(
        data=layout.postgres_data,
        run=layout.postgres_run,
        certs=layout.postgres_certs,
        dist=layout.postgres_dist,
        log_file=root / "postgres.log",
        service_file=layout.service_file,
        root=root,
        port=0,
        memory_mb=64,
        node="test",
    )
    return replace(spec, **changes)


IDENTITY = NodeIdentity.of(bytes(32))


def vault_of(spec: ServerSpec) -> SealedVault:
    return SealedVault(spec.root / "secrets/db.enc", IDENTITY.sealing_key(vault.PURPOSE))


def server_of(spec: ServerSpec) -> EmbeddedServer:
    return EmbeddedServer(spec, vault_of(spec))


def start(server: EmbeddedServer, said: list[str] | None = None) -> Running:
    return server.ensure(threading.Event(), (said if said is not None else []).append)


def query(endpoint: Endpoint, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(**endpoint.parameters(), autocommit=True) as session:  # type: ignore[arg-type]
        cursor = session.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def until(condition: Callable[[], bool], what: str, timeout: float = 20.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {what}"
        time.sleep(0.005)


def processes_of(root: Path) -> list[tuple[int, str]]:
    """Every process that works in ``root`` or names it, zombies left out."""
    found: list[tuple[int, str]] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode(errors="replace")
            if words and (str(root) in words or (entry / "cwd").readlink().is_relative_to(root)):
                found.append((int(entry.name), words.replace("\0", " ").strip()))
    return found
