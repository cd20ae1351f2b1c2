"""Cold start to ready, warm start and stop, beside what a person would type, in one run.

    python -m benchmarks.lifecycle [ROUNDS]

Cold: an empty directory until the node answers `ready`, beside `initdb` + `pg_ctl -w start` + `psql -c 'select 1'`.
Warm: the same directory again (the server was stopped), beside `pg_ctl -w start`. Stop: SIGTERM with
stop_on_shutdown until the process is gone, beside `pg_ctl -w stop`. The two sides take turns; medians.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bibd.admin.client import AdminClient
from bibd.errors import BibdError
from bibd.postgres.binaries import wheel_package

_SILENT = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def main(rounds: int) -> None:
    figures: dict[str, list[float]] = {}
    for _ in range(rounds):
        for side, measure in (("plain", plain), ("bibd", daemon)):
            directory = Path(tempfile.mkdtemp(prefix="bibd-bench-", dir="/tmp"))  # noqa: S108
            directory.chmod(0o711)
            try:
                for name, seconds in measure(directory).items():
                    figures.setdefault(f"{side} {name}", []).append(seconds)
            finally:
                shutil.rmtree(directory, ignore_errors=True)
    for name in ("cold", "warm", "stop"):
        ours, theirs = (statistics.median(figures[f"{side} {name}"]) for side in ("bibd", "plain"))
        print(f"{name}: bibd {ours:.3f} s, plain {theirs:.3f} s: ratio {ours / theirs:.2f}, difference {ours - theirs:+.3f} s")


def timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def plain(directory: Path) -> dict[str, float]:
    package = wheel_package()
    assert package is not None
    binaries = package / "pginstall" / "bin"
    data, port = directory / "data", "54329"
    user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    if os.geteuid() == 0:
        shutil.chown(directory, user)

    def run(*command: str | Path) -> None:
        subprocess.run(command, check=True, user=user if os.geteuid() == 0 else None, cwd="/", **_SILENT)  # type: ignore[call-overload]

    def start() -> None:
        run(binaries / "pg_ctl", "-D", data, "-l", directory / "log", "-o", f"-k {directory} -p {port}", "-w", "start")

    def cold() -> None:
        run(binaries / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "--no-instructions")
        start()
        run(binaries / "psql", "-h", directory, "-p", port, "-U", "postgres", "-c", "select 1")

    def stop() -> None:
        run(binaries / "pg_ctl", "-D", data, "-w", "stop")

    found = {"cold": timed(cold), "stop": timed(stop), "warm": timed(start)}
    stop()
    return found


def daemon(directory: Path) -> dict[str, float]:
    environ = {
        **os.environ,
        "BIBD_SERVER__DATA_DIR": str(directory / "d"),
        "BIBD_DATABASE__POSTGRES__PORT": "0",
        "BIBD_DATABASE__POSTGRES__STOP_ON_SHUTDOWN": "true",
    }
    command = [str(Path(sys.executable).with_name("bibd"))]
    process: subprocess.Popen[bytes]

    def start() -> None:
        nonlocal process
        process = subprocess.Popen(command, env=environ, **_SILENT)
        while not ready(directory / "d" / "admin.sock"):
            assert process.poll() is None, "bibd did not start"
            time.sleep(0.002)

    def stop() -> None:
        process.send_signal(signal.SIGTERM)
        process.wait()

    found = {"cold": timed(start), "stop": timed(stop), "warm": timed(start)}
    stop()
    return found


def ready(socket: Path) -> bool:
    try:
        with AdminClient(socket) as client:
            status = client.call("status", {}, timeout=5)
    except BibdError:
        return False
    return bool(isinstance(status, dict) and status["state"] == "ready")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
