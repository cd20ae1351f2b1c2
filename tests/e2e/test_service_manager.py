"""The daemon and its service manager: Type=notify with a watchdog (systemd.service(5))."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.daemon import Daemon, eventually


class Manager:
    """The other end of NOTIFY_SOCKET: every line that was sent, in order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self._lines: list[str] = []

    def lines(self) -> list[str]:
        while True:
            try:
                self._lines += self._socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return self._lines

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(data_dir: Path) -> Iterator[Manager]:
    manager = Manager(data_dir.parent / "notify")
    yield manager
    manager.close()


def test_ready_comes_with_readiness_watchdog_while_all_answer_and_stopping_at_the_end(
    data_dir: Path, manager: Manager
) -> None:
    settings = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "400000"}
    with Daemon(data_dir, settings) as daemon:
        eventually(lambda: "READY=1" in manager.lines())
        assert daemon.in_state("ready")
        eventually(lambda: manager.lines().count("WATCHDOG=1") >= 3)
        assert daemon.terminate() == 0
    lines = manager.lines()
    assert lines.index("READY=1") < lines.index("STOPPING=1")


def test_reload_is_announced_and_ends_with_ready(data_dir: Path, manager: Manager) -> None:
    with Daemon(data_dir, {"NOTIFY_SOCKET": str(manager.path)}) as daemon:
        eventually(lambda: "READY=1" in manager.lines())
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: manager.lines().count("READY=1") == 2)
        lines = manager.lines()
        assert lines.index("READY=1") < lines.index("RELOADING=1")
        assert daemon.terminate() == 0
