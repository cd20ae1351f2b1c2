"""The sd_notify(3) protocol of systemd: a line to a datagram socket, hence no dependency."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from contextlib import suppress


class Notifier:
    """Tells the service manager how the daemon is; silent where there is none (NOTIFY_SOCKET unset).

    Never raises: a service manager that does not listen is no reason to stop serving.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # "@name" is a socket of the abstract namespace (unix(7)); other families (vsock:) are for virtual machines.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.enabled = address.startswith(("/", "@"))

    def ready(self, status: str) -> None:
        """Up, or done with reloading."""
        self._send("READY=1", _status(status))

    def reloading(self) -> None:
        """Reloading has begun; ``ready`` must follow (Type=notify-reload matches the two by the time)."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str = "stopping") -> None:
        self._send("STOPPING=1", _status(status))

    def watchdog(self) -> None:
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``."""
        self._send(_status(text))

    def _send(self, *lines: str) -> None:
        if not self.enabled:
            return
        message = "\n".join(lines).encode(errors="replace")
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            # A full queue of a stuck manager must not stop the daemon: 1 s, then the message is lost.
            sender.settimeout(1.0)
            sender.sendto(message, self._address)


def watchdog_interval(environ: Mapping[str, str], pid: int) -> float | None:
    """Seconds between two ``watchdog()`` calls: half of WatchdogSec= as sd_watchdog_enabled(3) advises.

    None when there is no watchdog, or it is meant for another process than ``pid``.
    """
    microseconds = environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdecimal() or int(microseconds) == 0:
        return None
    meant_for = environ.get("WATCHDOG_PID", "")
    if meant_for and meant_for != str(pid):
        return None
    return int(microseconds) / 1_000_000 / 2


def _status(text: str) -> str:
    # A line break would begin another field.
    return "STATUS=" + " ".join(text.splitlines())
