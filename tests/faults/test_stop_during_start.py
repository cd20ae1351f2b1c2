"""A stop at any moment of the start: clean exit, nothing left, and the next start works."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.e2e.daemon import Daemon, processes_below

MOMENTS = int(os.environ.get("BIBD_TEST_MOMENTS", "14"))
STOP = {"BIBD_DATABASE__POSTGRES__STOP_ON_SHUTDOWN": "true"}


def start_seconds(data_dir: Path) -> float:
    began = time.monotonic()
    with Daemon(data_dir, STOP) as daemon:
        daemon.wait_for("ready")
        seconds = time.monotonic() - began
        assert daemon.terminate() == 0
    shutil.rmtree(data_dir)
    return seconds


@pytest.mark.timeout(60 + 10 * MOMENTS)
def test_sigterm_at_any_moment_of_the_start_exits_cleanly_and_the_next_start_works(data_dir: Path) -> None:
    whole = start_seconds(data_dir)
    seeded = random.Random(20261122)  # noqa: S311 - moments, not secrets
    for number in range(MOMENTS):
        # From the very first instruction to a little after ready; every other time on what the last one left.
        delay = seeded.uniform(0.0, whole * 1.2)
        with Daemon(data_dir, STOP) as daemon:
            time.sleep(delay)  # the moment is the input of this test, not a wait for something
            daemon.process.send_signal(signal.SIGTERM)
            code = daemon.process.wait(40)
            # Before the interpreter has run our first line, SIGTERM has its default effect.
            too_early = code == -signal.SIGTERM and not daemon.stderr()
            assert code == 0 or too_early, (delay, code, daemon.stderr())
        assert processes_below(data_dir.parent) == [], delay
        if number % 2 == 0:
            with Daemon(data_dir, STOP) as daemon:
                daemon.wait_for("ready")
                assert daemon.terminate() == 0
            shutil.rmtree(data_dir)
    with Daemon(data_dir, STOP) as daemon:
        daemon.wait_for("ready")
        assert daemon.terminate() == 0
