"""A real daemon in a process of its own, driven as a user would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from bibd.admin.client import AdminClient
from bibd.errors import BibdError

T = TypeVar("T")

FAST = {
    "BIBD_DATABASE__POSTGRES__PORT": "0",
    "BIBD_DATABASE__POSTGRES__HEALTH__INTERVAL": "200ms",
    "BIBD_DATABASE__POSTGRES__HEALTH__TIMEOUT": "2s",
    "BIBD_DATABASE__POSTGRES__HEALTH__RETRY_BACKOFF": "200ms",
    "BIBD_LOG__LEVEL": "debug",
}


def eventually(what: Callable[[], T | None], *, timeout: float = 30.0) -> T:
    """The first truthy value of ``what`` within ``timeout`` seconds; asks every 20 ms."""
    deadline = time.monotonic() + timeout
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < deadline, f"nothing within {timeout:g} s"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def processes_below(root: Path) -> list[int]:
    """Everything that works in a directory below ``root``."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "cwd").readlink().is_relative_to(root):
                    found.append(int(entry.name))
            except OSError:
                continue
    return [pid for pid in found if alive(pid)]


class Daemon:
    """``python -m bibd`` on ``data_dir``, with ``settings`` as environment variables over fast defaults.

    ``wrapper`` must exec the command that it gets as its last arguments.
    """

    def __init__(
        self, data_dir: Path, settings: Mapping[str, str] | None = None, *, wrapper: Sequence[str] = ()
    ) -> None:
        self.data_dir = data_dir
        self.socket = data_dir / "admin.sock"
        self.environ = {**os.environ, **FAST, "BIBD_SERVER__DATA_DIR": str(data_dir), **(settings or {})}
        data_dir.parent.mkdir(exist_ok=True)
        self._stderr = (data_dir.parent / "stderr").open("wb")
        self.command = [*wrapper, sys.executable, "-m", "bibd"]
        self.process = subprocess.Popen(self.command, env=self.environ, stdin=subprocess.DEVNULL, stderr=self._stderr)

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._stderr.close()

    def call(self, method: str, **params: object) -> Any:
        with AdminClient(self.socket) as client:
            return client.call(method, params, timeout=10)

    def answers(self, method: str) -> Any:
        """The answer, or None while there is an error instead."""
        try:
            return self.call(method)
        except BibdError:
            return None

    def status(self) -> dict[str, Any] | None:
        """None while nobody answers."""
        found: dict[str, Any] | None = self.answers("status")
        return found

    def in_state(self, state: str) -> dict[str, Any] | None:
        assert self.process.poll() is None, f"bibd exited {self.process.returncode}:\n{self.stderr()}"
        status = self.status()
        return status if status is not None and status["state"] == state else None

    def wait_for(self, state: str, *, timeout: float = 60.0) -> dict[str, Any]:
        return eventually(lambda: self.in_state(state), timeout=timeout)

    def url(self) -> str:
        return str(self.call("db.url")["url"])

    def terminate(self, *, timeout: float = 40.0) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def stderr(self) -> str:
        return (self.data_dir.parent / "stderr").read_text()

    def log(self) -> list[dict[str, Any]]:
        """``bibd.log``, oldest first."""
        return [json.loads(line) for line in (self.data_dir / "logs" / "bibd.log").read_text().splitlines()]

    def messages(self) -> list[str]:
        return [str(line["message"]) for line in self.log()]

    def postmaster(self) -> int:
        return int((self.data_dir / "postgres" / "data" / "postmaster.pid").read_text().split("\n")[0])
