"""What an idle daemon costs: memory and processor time of its process, without PostgreSQL's.

    python -m benchmarks.footprint [SECONDS]

Beside it, in the same run: a bare interpreter that has imported the packages the daemon is made of.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.lifecycle import ready

_PACKAGES = "pykka, psycopg, docker, pydantic, croniter, cryptography, loguru"


def main(seconds: float) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", f"import {_PACKAGES}\nprint(flush=True)\ninput()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as bare:
        assert bare.stdout is not None
        if bare.stdout.readline():
            print(f"bare imports ({_PACKAGES}): {psutil.Process(bare.pid).memory_info().rss / 2**20:.1f} MiB")
        bare.kill()
    directory = Path(tempfile.mkdtemp(prefix="bibd-bench-", dir="/tmp"))  # noqa: S108
    directory.chmod(0o711)
    environ = {
        **os.environ,
        "BIBD_SERVER__DATA_DIR": str(directory / "d"),
        "BIBD_DATABASE__POSTGRES__PORT": "0",
        "BIBD_DATABASE__POSTGRES__STOP_ON_SHUTDOWN": "true",
    }
    with subprocess.Popen([str(Path(sys.executable).with_name("bibd"))], env=environ, stderr=subprocess.DEVNULL) as bibd:
        while not ready(directory / "d" / "admin.sock"):
            time.sleep(0.05)
        process = psutil.Process(bibd.pid)
        before = process.cpu_times()
        time.sleep(seconds)
        after, memory = process.cpu_times(), process.memory_full_info()
        used = (after.user + after.system - before.user - before.system) / seconds
        print(f"bibd idle: RSS {memory.rss / 2**20:.1f} MiB, PSS {memory.pss / 2**20:.1f} MiB, CPU {used:.2%}, "
              f"{process.num_threads()} threads")  # fmt: skip
        bibd.send_signal(signal.SIGTERM)
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 30.0)
