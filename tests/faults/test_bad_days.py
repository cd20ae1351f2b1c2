"""What happens to the files and limits of a daemon that runs: it degrades, says why, and comes back by itself."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

from tests.e2e.daemon import Daemon, alive, eventually, processes_below

STOP = {"BIBD_DATABASE__POSTGRES__STOP_ON_SHUTDOWN": "true"}


def test_data_directory_that_disappears_degrades_the_node_until_it_is_back(data_dir: Path) -> None:
    data, away = data_dir / "postgres" / "data", data_dir / "postgres" / "away"
    with Daemon(data_dir, {**STOP, "BIBD_DATABASE__POSTGRES__HEALTH__ACTION": "retry_always"}) as daemon:
        daemon.wait_for("ready")
        postmaster = daemon.postmaster()
        data.rename(away)  # as when its file system is unmounted
        os.kill(postmaster, signal.SIGKILL)
        eventually(lambda: any(f"{data} is gone" in message for message in daemon.messages()))
        assert daemon.in_state("degraded")
        assert not data.exists()
        away.rename(data)
        daemon.wait_for("ready")
        assert daemon.postmaster() != postmaster
        assert daemon.terminate() == 0
    assert processes_below(data_dir.parent) == []


def test_daemon_without_free_file_descriptors_lives_on_and_is_ready_when_there_are_some(data_dir: Path) -> None:
    few = ["/bin/sh", "-c", 'ulimit -n 64; exec "$@"', "sh"]
    settings = {**STOP, "BIBD_DATABASE__POSTGRES__HEALTH__MAX_RETRIES": "2"}
    with Daemon(data_dir, settings, wrapper=few) as daemon:
        daemon.wait_for("ready")
        postmaster = daemon.postmaster()
        with ExitStack() as clients:
            for _ in range(64):
                client = clients.enter_context(socket.socket(socket.AF_UNIX))
                client.connect(str(daemon.socket))
            eventually(lambda: any("giving up on the database" in message for message in daemon.messages()))
        daemon.wait_for("ready")
        assert alive(postmaster)
        assert [child["restarts"] for child in daemon.wait_for("ready")["children"]] == [0] * 5
        assert daemon.terminate() == 0
    assert processes_below(data_dir.parent) == []


def test_configuration_and_password_files_damaged_by_hand_are_named_and_mended(data_dir: Path) -> None:
    with Daemon(data_dir, STOP) as daemon:
        daemon.wait_for("ready")
        url = daemon.url()
        (data_dir / "secrets" / "db.enc").unlink()
        for name in ("postgresql.conf", "pg_hba.conf"):
            (data_dir / "postgres" / "data" / name).write_text("nonsense = = here\n")
        os.kill(daemon.postmaster(), signal.SIGKILL)
        eventually(lambda: "node degraded → ready" in daemon.messages())
        assert daemon.url() == url
        assert daemon.terminate() == 0
        (data_dir / "secrets" / "db.enc").write_text('{"postgres/superuser": "half')
    with Daemon(data_dir, STOP) as daemon:
        assert daemon.process.wait(30) == 5
        assert "db.enc is damaged" in daemon.stderr()
        assert "half" not in daemon.stderr()
    assert processes_below(data_dir.parent) == []
