"""`bib --help` and `bib admin status` as whole processes, beside a bare interpreter, in turns; medians.

    python -m benchmarks.command_line [ROUNDS]
"""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.lifecycle import ready, timed


def main(rounds: int) -> None:
    directory = Path(tempfile.mkdtemp(prefix="bibd-bench-", dir="/tmp"))  # noqa: S108
    directory.chmod(0o711)
    environ = {
        **os.environ,
        "BIBD_SERVER__DATA_DIR": str(directory / "d"),
        "BIBD_DATABASE__POSTGRES__PORT": "0",
        "BIBD_DATABASE__POSTGRES__STOP_ON_SHUTDOWN": "true",
    }
    bib = str(Path(sys.executable).with_name("bib"))
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "bib --help": [bib, "--help"],
        "bib admin status": [bib, "admin", "status"],
        "bib admin status -o json": [bib, "admin", "status", "-o", "json"],
    }
    figures: dict[str, list[float]] = {name: [] for name in commands}
    daemon = [str(Path(sys.executable).with_name("bibd"))]
    with subprocess.Popen(daemon, env=environ, stderr=subprocess.DEVNULL) as bibd:
        while not ready(directory / "d" / "admin.sock"):
            time.sleep(0.05)
        for _ in range(rounds):
            for name, command in commands.items():
                figures[name].append(
                    timed(lambda run=command: subprocess.run(run, env=environ, check=True, capture_output=True))  # type: ignore[misc]
                )
        bibd.send_signal(signal.SIGTERM)
    shutil.rmtree(directory, ignore_errors=True)
    for name, seconds in figures.items():
        print(f"{name}: median {statistics.median(seconds):.3f} s, worst {max(seconds):.3f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
