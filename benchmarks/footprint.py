"""What an idle daemon costs: memory and processor time of its process, without PostgreSQL's.

    python -m benchmarks.footprint [SECONDS]

Beside it, in the same run: a bare interpreter that has imported the given packages of the project.
"""

from __future__ import annotations

import subprocess
import sys
import time

import psutil

from benchmarks import running

_PACKAGES = "pykka, psycopg, pydantic, croniter, cryptography, loguru"


def main(seconds: float) -> None:
    bare = subprocess.Popen(
        [sys.executable, "-c", f"import {_PACKAGES}\nprint(flush=True)\ninput()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with bare:
        assert bare.stdout is not None
        bare.stdout.readline()
        print(f"bare imports ({_PACKAGES}): RSS {psutil.Process(bare.pid).memory_info().rss / 2**20:.1f} MiB")
        bare.kill()
    with running.directory() as path:
        bibd = running.start(path / "d")
        process = psutil.Process(bibd.pid)
        before = process.cpu_times()
        time.sleep(seconds)
        after, memory = process.cpu_times(), process.memory_full_info()
        used = (after.user + after.system - before.user - before.system) / seconds
        print(
            f"bibd, idle for {seconds:g} s: RSS {memory.rss / 2**20:.1f} MiB, PSS {memory.pss / 2**20:.1f} MiB,"
            f" CPU {used:.2%}, {process.num_threads()} threads"
        )
        running.stop(bibd)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 30.0)
