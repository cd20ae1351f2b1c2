"""The other end of the admin socket: one connection, one call at a time, every wait limited."""

from __future__ import annotations

import json
import socket
import stat
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, cast

from bibd.errors import BibdError, ConfigError, IntegrityError, RefusedError, UnreachableError

HINT = "start it with: bibd"
# More than any answer has; a broken peer must not fill our memory.
ANSWER_BYTES = 64 * 1024 * 1024
RECEIVE_BYTES = 64 * 1024
RETRY_SECONDS = 0.02
_KINDS: Mapping[int, type[BibdError]] = {
    kind.exit_code: kind for kind in (BibdError, UnreachableError, RefusedError, IntegrityError, ConfigError)
}


class AdminClient:
    """Connects at the first call. Not for use by several threads at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self._received = bytearray()
        self._last_id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._received.clear()

    def connect(self, timeout: float) -> int:
        """Connect unless connected. Returns the daemon's process id as this process sees it (0: in another namespace).

        Raises UnreachableError.
        """
        if self._socket is None:
            self._socket = self._connected(time.monotonic() + timeout)
        # struct ucred, unix(7): of the process that listens.
        pid, _, _ = struct.unpack("iII", self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return int(pid)

    def call(
        self,
        method: str,
        params: Mapping[str, object] | None = None,
        *,
        timeout: float,
        on_progress: Callable[[dict[str, Any]], None] | None = None,
    ) -> Any:
        """The result, as JSON has it (a dict or a list), within ``timeout`` seconds in all.

        Raises UnreachableError when nobody answers, else the daemon's own error, of the kind of its exit code.
        """
        deadline = time.monotonic() + timeout
        self.connect(timeout)
        assert self._socket is not None  # noqa: S101  connect() has seen to it
        self._last_id += 1
        request = {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": dict(params or {})}
        try:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            # A server that refuses closes at once: its reason is still there to be read.
            with suppress(BrokenPipeError, ConnectionResetError):
                self._socket.sendall(json.dumps(request).encode() + b"\n")
            return self._result(timeout, deadline, on_progress)
        except TimeoutError:
            raise self._lost(f"no answer on {self._path} within {timeout:g} s", "see the daemon's log") from None
        except UnreachableError:
            self.close()
            raise
        except OSError as error:
            raise self._lost(f"the connection to {self._path} failed: {error.strerror}") from None

    def _connected(self, deadline: float) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.setblocking(False)
        try:
            while True:
                try:
                    client.connect(str(self._path))
                except BlockingIOError:  # the backlog is full, unix(7)
                    if time.monotonic() >= deadline:
                        raise
                    time.sleep(RETRY_SECONDS)
                else:
                    return client
        except (OSError, ValueError) as error:
            client.close()
            raise self._unreachable(error) from None

    def _unreachable(self, error: Exception) -> UnreachableError:
        path = self._path
        match error:
            case FileNotFoundError() | NotADirectoryError():
                return UnreachableError(f"no daemon answers on {path}", HINT)
            case PermissionError():
                return UnreachableError(f"permission denied on {path}", "run as the daemon's account, or as root")
            case ConnectionRefusedError() if not _is_socket(path):
                return UnreachableError(f"{path} is not a socket", "correct admin.socket, or --socket")
            case ConnectionRefusedError():
                return UnreachableError(f"no daemon answers on {path}: it is left over from one that is gone", HINT)
            case BlockingIOError():
                return UnreachableError(f"the daemon on {path} accepts no connection", "see the daemon's log")
            case _:
                reason = (error.strerror if isinstance(error, OSError) else None) or error
                return UnreachableError(f"cannot connect to {path}: {reason}", HINT)

    def _lost(self, message: str, hint: str = HINT) -> UnreachableError:
        """An answer may still come and belong to nobody: the connection is of no more use."""
        self.close()
        return UnreachableError(message, hint)

    def _result(self, timeout: float, deadline: float, on_progress: Callable[[dict[str, Any]], None] | None) -> Any:
        while True:
            message = self._message(deadline)
            params, error = _object(message.get("params")), _object(message.get("error"))
            if message.get("method") == "progress" and params is not None:
                if on_progress is not None and params.get("id") == self._last_id:
                    on_progress(params)
            elif error is not None and message.get("id") in (self._last_id, None):
                raise _as_exception(error)
            elif message.get("id") == self._last_id:
                return message.get("result")

    def _message(self, deadline: float) -> dict[str, Any]:
        assert self._socket is not None  # noqa: S101
        seen = 0
        while (end := self._received.find(b"\n", seen)) < 0:
            seen = len(self._received)
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            if not (chunk := self._socket.recv(RECEIVE_BYTES)):
                raise UnreachableError(f"the daemon on {self._path} went away before it answered", HINT)
            self._received += chunk
            if len(self._received) > ANSWER_BYTES:
                raise UnreachableError(f"what answers on {self._path} is not bibd", "correct admin.socket, or --socket")
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        try:
            message = _object(json.loads(line))
        except (ValueError, RecursionError):
            message = None
        if message is None:
            raise UnreachableError(f"what answers on {self._path} is not bibd", "correct admin.socket, or --socket")
        return message


def _object(value: object) -> dict[str, Any] | None:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _as_exception(error: Mapping[str, Any]) -> BibdError:
    data = _object(error.get("data")) or {}
    exit_code = int(data.get("exit_code", 1))
    return _KINDS.get(exit_code, BibdError)(str(error.get("message")), str(data.get("hint", "")), exit_code)


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False
