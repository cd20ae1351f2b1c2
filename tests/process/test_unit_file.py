"""The unit file of the documentation agrees with the daemon."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

import pytest

from bibd.errors import ConfigError, IntegrityError


@pytest.fixture
def service() -> dict[str, str]:
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # pyright: ignore[reportAttributeAccessIssue]
    parser.read(Path(__file__).parents[2] / "docs" / "bibd.service")
    return dict(parser["Service"])


def test_errors_that_a_restart_cannot_mend_are_not_restarted(service: dict[str, str]) -> None:
    codes = {int(code) for code in service["RestartPreventExitStatus"].split()}
    assert codes == {ConfigError.exit_code, IntegrityError.exit_code}


def test_the_server_is_not_killed_with_the_daemon_and_the_daemon_speaks_to_systemd(service: dict[str, str]) -> None:
    assert (service["KillMode"], service["Type"], service["NotifyAccess"]) == ("process", "notify", "main")
    # The group of the server's account may pass through the data directory.
    assert service["StateDirectoryMode"] == "0710"


def test_systemd_is_more_patient_than_the_daemon(service: dict[str, str]) -> None:
    from bibd.config.model import Settings

    settings = Settings()
    assert int(service["TimeoutStopSec"].removesuffix("s")) > settings.server.shutdown_timeout
    assert int(service["TimeoutStartSec"].removesuffix("s")) > settings.database.postgres.health.startup_timeout + 60
