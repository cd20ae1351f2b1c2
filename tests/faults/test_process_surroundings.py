"""What an operator's shell, cron or a bare container does to the process around the daemon."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.daemon import Daemon, processes_below

STOP = {"BIBD_DATABASE__POSTGRES__STOP_ON_SHUTDOWN": "true"}


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_daemon_with_closed_standard_streams_runs_and_keeps_its_files_out_of_their_numbers(
    data_dir: Path, closed: str
) -> None:
    with Daemon(data_dir, STOP, wrapper=["/bin/sh", "-c", f'exec "$@" {closed}', "sh"]) as daemon:
        daemon.wait_for("ready")
        for number in (0, 1, 2):
            target = str(Path(f"/proc/{daemon.process.pid}/fd/{number}").readlink())
            assert not target.startswith((str(data_dir), "socket:", "anon_inode:")), (number, target)
        assert daemon.terminate() == 0
    assert processes_below(data_dir.parent) == []


def test_error_of_a_daemon_without_stderr_is_an_exit_code(data_dir: Path) -> None:
    with Daemon(data_dir, {"BIBD_DATABASE__BACKEND": "mysql"}, wrapper=["/bin/sh", "-c", 'exec "$@" 2>&-', "sh"]) as it:
        assert it.process.wait(30) == 78
