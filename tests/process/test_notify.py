"""What systemd hears, on a real datagram socket."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bibd.process.notify import Notifier, watchdog_interval


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, data_dir: Path) -> Iterator[tuple[str, socket.socket]]:
    name = f"bibd-test-{os.getpid()}" if request.param == "abstract" else str(data_dir.parent / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}" if request.param == "abstract" else name)
        listener.settimeout(5)
        yield f"@{name}" if request.param == "abstract" else name, listener


def test_each_message_is_one_datagram_of_the_protocol(manager: tuple[str, socket.socket]) -> None:
    address, listener = manager
    notifier = Notifier({"NOTIFY_SOCKET": address})
    notifier.status("starting\nREADY=1")  # a line break must not smuggle a field in
    notifier.ready("serving")
    notifier.watchdog()
    before = time.monotonic_ns() // 1000
    notifier.reloading()
    notifier.stopping()
    heard = [listener.recv(4096).decode() for _ in range(5)]
    assert heard[:3] == ["STATUS=starting READY=1", "READY=1\nSTATUS=serving", "WATCHDOG=1"]
    assert heard[4] == "STOPPING=1\nSTATUS=stopping"
    reloading, moment = heard[3].split("\nMONOTONIC_USEC=")
    assert reloading == "RELOADING=1"
    assert before <= int(moment) <= time.monotonic_ns() // 1000


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}])
def test_without_a_manager_nothing_is_sent(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def no_socket(*_args: object) -> None:
        raise AssertionError("a socket was made")

    monkeypatch.setattr(socket, "socket", no_socket)
    Notifier(environ).ready("x")


@pytest.mark.parametrize("address", ["/nonexistent/notify", "/" + "x" * 200])
def test_a_manager_that_is_gone_never_stops_the_daemon(address: str) -> None:
    Notifier({"NOTIFY_SOCKET": address}).ready("x")


def test_a_manager_that_does_not_read_never_hangs_the_daemon(data_dir: Path) -> None:
    path = str(data_dir.parent / "notify")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler,
    ):
        deaf.bind(path)
        filler.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                filler.sendto(b"x", path)
        started = time.monotonic()
        Notifier({"NOTIFY_SOCKET": path}).watchdog()
        assert 0.5 < time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "42"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "43"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_watchdog_interval_is_half_the_limit_for_this_process_only(
    environ: dict[str, str], interval: float | None
) -> None:
    assert watchdog_interval(environ, 42) == interval
