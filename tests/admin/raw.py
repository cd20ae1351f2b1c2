"""A client that may misbehave: raw bytes on the socket, every wait limited."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PATIENCE = 10.0


class RawClient:
    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(path))  # without a timeout, which would make a full backlog an error
        self.sock.settimeout(PATIENCE)
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def read(self) -> dict[str, Any]:
        """The next message. Raises EOFError when the server has closed."""
        while b"\n" not in self._received:
            if not (chunk := self.sock.recv(65536)):
                raise EOFError(self._received)
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        assert message["jsonrpc"] == "2.0"
        return message

    def ask(self, data: bytes) -> dict[str, Any]:
        self.send(data)
        return self.read()

    def code(self, data: bytes) -> int:
        """The error code that ``data`` is answered with."""
        return int(self.ask(data)["error"]["code"])

    def closed_by_server(self) -> bool:
        try:
            while self.sock.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True


def request(request_id: object = 1, method: str = "status", **params: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}).encode() + b"\n"


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait until it holds, or fail."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.005)
