"""`bib --help` and `bib admin status` as whole processes, beside a bare interpreter, in turns; medians.

python -m benchmarks.command_line [ROUNDS]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from functools import partial

from benchmarks import running
from benchmarks.running import timed


def main(rounds: int) -> None:
    bib = running.program("bib")
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "bib --help": [bib, "--help"],
        "bib admin status": [bib, "admin", "status"],
        "bib admin status -o json": [bib, "admin", "status", "-o", "json"],
    }
    figures: dict[str, list[float]] = {name: [] for name in commands}
    with running.directory() as path:
        bibd, environ = running.start(path / "d"), running.environ(path / "d")

        def run(command: list[str]) -> None:
            subprocess.run(command, env=environ, check=True, capture_output=True)

        for _ in range(rounds):
            for name, command in commands.items():
                figures[name].append(timed(partial(run, command)))
        running.stop(bibd)
    for name, seconds in figures.items():
        print(f"{name}: median {statistics.median(seconds):.3f} s, worst {max(seconds):.3f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
