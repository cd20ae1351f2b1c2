"""Cold start to ready, warm start and stop, beside what a person would type, in one run.

    python -m benchmarks.lifecycle [ROUNDS]

Cold: an empty directory until the node answers `ready`, beside `initdb` + `pg_ctl -w start` + `psql -c 'select 1'`.
Warm: the same directory again (the server was stopped), beside `pg_ctl -w start`. Stop: SIGTERM with
stop_on_shutdown until the process is gone, beside `pg_ctl -w stop`. The two sides take turns; medians.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import running
from benchmarks.running import timed
from bibd.postgres.binaries import wheel_package


def main(rounds: int) -> None:
    sides: dict[str, Callable[[Path], dict[str, float]]] = {"plain": plain, "bibd": daemon}
    figures: dict[str, list[float]] = {}
    for _ in range(rounds):
        for side, measure in sides.items():
            with running.directory() as path:
                for name, seconds in measure(path).items():
                    figures.setdefault(f"{side} {name}", []).append(seconds)
    for name in ("cold", "warm", "stop"):
        ours, theirs = (statistics.median(figures[f"{side} {name}"]) for side in ("bibd", "plain"))
        print(f"{name}: bibd {ours:.3f} s, plain {theirs:.3f} s, ratio {ours / theirs:.2f}, {ours - theirs:+.3f} s")


def plain(path: Path) -> dict[str, float]:
    package = wheel_package()
    assert package is not None
    binaries = package / "pginstall" / "bin"
    data, port = path / "data", "54329"
    user = "nobody" if os.geteuid() == 0 else None
    if user is not None:
        shutil.chown(path, user)

    def run(*command: str | Path) -> None:
        subprocess.run(command, check=True, user=user, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start() -> None:
        run(binaries / "pg_ctl", "-D", data, "-l", path / "log", "-o", f"-k {path} -p {port}", "-w", "start")

    def cold() -> None:
        run(binaries / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "--no-instructions")
        start()
        run(binaries / "psql", "-h", path, "-p", port, "-U", "postgres", "-c", "select 1")

    def stop() -> None:
        run(binaries / "pg_ctl", "-D", data, "-w", "stop")

    found = {"cold": timed(cold), "stop": timed(stop), "warm": timed(start)}
    stop()
    return found


def daemon(path: Path) -> dict[str, float]:
    processes: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        processes.append(running.start(path / "d"))

    def stop() -> None:
        running.stop(processes.pop())

    found = {"cold": timed(start), "stop": timed(stop), "warm": timed(start)}
    stop()
    return found


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
