"""SIGHUP again and again, from the start to the last moment of the process."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

from tests.e2e.daemon import Daemon, eventually, processes_below

STOP = {"BIBD_DATABASE__POSTGRES__STOP_ON_SHUTDOWN": "true"}


def test_hangups_delay_neither_readiness_nor_stop_nor_spoil_the_exit_code(data_dir: Path) -> None:
    with Daemon(data_dir, STOP) as daemon:
        eventually(daemon.status)  # before its handlers are in place SIGHUP has its default effect
        ended = threading.Event()

        def storm() -> None:
            while not ended.wait(0.001):
                daemon.process.send_signal(signal.SIGHUP)

        thread = threading.Thread(target=storm)
        thread.start()
        try:
            daemon.wait_for("ready")
            assert daemon.terminate(timeout=20) == 0, daemon.stderr()
        finally:
            ended.set()
            thread.join()
        messages = daemon.messages()
        assert any("configuration reloaded" in message for message in messages)
        assert not any("not reloaded" in message or "hung" in message for message in messages)
    assert processes_below(data_dir.parent) == []
