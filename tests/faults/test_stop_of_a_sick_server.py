"""SIGTERM while PostgreSQL is not well: it ends within server.shutdown_timeout, in order, and nothing stays."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections import deque
from pathlib import Path

from tests.e2e.daemon import Daemon, alive, eventually, processes_below

STOP = {"BIBD_DATABASE__POSTGRES__STOP_ON_SHUTDOWN": "true"}
HEALTH = "BIBD_DATABASE__POSTGRES__HEALTH__"


def test_stop_during_a_probe_of_a_hung_server_is_orderly(data_dir: Path) -> None:
    # Probes that take 1 s each; the server does not answer, so that one is under way at any time.
    settings = {**STOP, HEALTH + "TIMEOUT": "1s", HEALTH + "INTERVAL": "10ms", "BIBD_SERVER__SHUTDOWN_TIMEOUT": "9s"}
    with Daemon(data_dir, settings) as daemon:
        daemon.wait_for("ready")
        postmaster = daemon.postmaster()
        os.kill(postmaster, signal.SIGSTOP)
        seen = deque([""], maxlen=4)

        def probe_hangs() -> bool:
            """A probe each 10 ms, and none for as long as four questions take."""
            seen.append(daemon.call("status")["database"]["last_probe"])
            return len(set(seen)) == 1

        eventually(probe_hangs)
        assert daemon.in_state("ready")
        assert daemon.terminate(timeout=9) == 0, daemon.stderr()
        assert not alive(postmaster)
    assert processes_below(data_dir.parent) == []


def test_stop_while_the_server_is_down_does_not_wait_for_a_checkpoint(data_dir: Path) -> None:
    with Daemon(data_dir, {**STOP, HEALTH + "RETRY_BACKOFF": "60s"}) as daemon:
        daemon.wait_for("ready")
        (data_dir / "postgres" / "data" / "PG_VERSION").write_text("12\n")
        os.kill(daemon.postmaster(), signal.SIGKILL)
        eventually(lambda: any("(attempt 2)" in message for message in daemon.messages()))
        began = time.monotonic()
        assert daemon.terminate() == 0
        assert time.monotonic() - began < 3  # a checkpoint waits 5 s for a connection


def test_stop_of_a_server_that_cannot_write_its_checkpoint_leaves_nothing(data_dir: Path) -> None:
    with Daemon(data_dir, {**STOP, HEALTH + "INTERVAL": "1h"}) as daemon:
        daemon.wait_for("ready")
        postmaster = daemon.postmaster()
        shutil.rmtree(data_dir / "postgres" / "data")
        assert daemon.terminate() == 0, daemon.stderr()
        assert not alive(postmaster)
    assert processes_below(data_dir.parent) == []
