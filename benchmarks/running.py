"""A daemon to measure, in a directory of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from bibd.admin.client import AdminClient
from bibd.errors import BibdError


def timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


@contextmanager
def directory() -> Generator[Path]:
    """A new one below /var/tmp (a disk, where /tmp may be memory) that a server's account may pass through."""
    path = Path(tempfile.mkdtemp(prefix="bibd-bench-", dir="/var/tmp"))
    path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def environ(data_dir: Path) -> dict[str, str]:
    return {
        **os.environ,
        "BIBD_SERVER__DATA_DIR": str(data_dir),
        "BIBD_DATABASE__POSTGRES__PORT": "0",
        "BIBD_DATABASE__POSTGRES__STOP_ON_SHUTDOWN": "true",
    }


def program(name: str) -> str:
    """``bibd`` or ``bib`` of this environment."""
    return str(Path(sys.executable).with_name(name))


def start(data_dir: Path) -> subprocess.Popen[bytes]:
    """Returns as soon as the node says that it is ready."""
    process = subprocess.Popen([program("bibd")], env=environ(data_dir), stderr=subprocess.DEVNULL)
    while not _ready(data_dir / "admin.sock"):
        assert process.poll() is None, "bibd did not start"
        time.sleep(0.002)
    return process


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    process.wait()


def _ready(socket: Path) -> bool:
    try:
        with AdminClient(socket) as client:
            status = client.call("status", {}, timeout=5)
    except BibdError:
        return False
    return bool(status["state"] == "ready")
