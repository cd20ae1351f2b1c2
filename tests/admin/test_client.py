"""bibd.admin.client against sockets that are missing, stale, foreign, mute or broken."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bibd.admin.client import HINT, AdminClient
from bibd.errors import UnreachableError
from tests.admin.fake_daemon import serving


@pytest.fixture
def path(data_dir: Path) -> Path:
    data_dir.mkdir()
    return data_dir / "admin.sock"


@contextmanager
def peer(path: Path, behave: Callable[[socket.socket], None]) -> Generator[None]:
    """Something else than bibd, for one connection."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                behave(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            thread.join()


def failure(path: Path, timeout: float = 5) -> UnreachableError:
    with AdminClient(path) as client, pytest.raises(UnreachableError) as caught:
        client.call("status", timeout=timeout)
    assert caught.value.exit_code == 3
    return caught.value


def test_without_a_daemon_the_hint_says_how_to_start_it(path: Path) -> None:
    error = failure(path)
    assert error.message == f"no daemon answers on {path}"
    assert error.hint == HINT == "start it with: bibd"
    assert failure(Path("/etc/passwd/admin.sock")).message.startswith("no daemon answers")


def test_a_stale_socket_is_called_stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    assert "left over" in failure(path).message


def test_what_is_not_a_socket_is_called_that(path: Path) -> None:
    path.write_text("x")
    assert failure(path).message == f"{path} is not a socket"


def test_a_path_that_no_socket_can_have_is_named(path: Path) -> None:
    assert "cannot connect" in failure(Path("/" + "x" * 200)).message


def test_permission_denied_is_told_from_no_daemon(path: Path) -> None:
    """In a process of its own, of an account that may not: root may everything."""
    with serving(path):
        code = f"""
import os, sys
sys.path.insert(0, {str(Path.cwd())!r})
from pathlib import Path
from bibd.admin.client import AdminClient
from bibd.errors import UnreachableError
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
else:
    os.chmod({str(path)!r}, 0)
try:
    AdminClient(Path({str(path)!r})).call("status", timeout=5)
except UnreachableError as error:
    print(error)
"""
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert result.stdout.startswith(f"permission denied on {path}\nHINT: run as the daemon's account")


def test_a_daemon_that_is_mute_is_given_up_in_time(path: Path) -> None:
    done = threading.Event()

    def behave(_: socket.socket) -> None:
        done.wait(5)

    with peer(path, behave):
        assert "no answer" in failure(path, timeout=0.2).message
        done.set()


def test_a_backlog_that_stays_full_is_given_up_in_time(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(str(path))
        listener.listen(0)
        first.connect(str(path))
        assert "accepts no connection" in failure(path, timeout=0.2).message


def test_a_daemon_that_dies_in_a_call_is_unreachable(path: Path) -> None:
    def behave(connection: socket.socket) -> None:
        connection.recv(100)

    with peer(path, behave):
        assert "went away" in failure(path).message


@pytest.mark.parametrize("noise", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"[]\n", b"[" * 50_000 + b"\n", b"\xff\n"])
def test_a_foreign_server_is_recognised(path: Path, noise: bytes) -> None:
    def behave(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(noise)

    with peer(path, behave):
        assert "is not bibd" in failure(path).message


def test_messages_that_are_not_for_this_call_are_passed_over(path: Path) -> None:
    def behave(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(
            b'{"jsonrpc":"2.0","id":99,"result":"another"}\n'
            b'{"jsonrpc":"2.0","method":"progress","params":{"id":99}}\n'
            b'{"jsonrpc":"2.0","method":"later invention","params":[]}\n'
            b'{"jsonrpc":"2.0","id":1,"res'
        )
        connection.sendall(b'ult":"mine"}\n')

    with peer(path, behave), AdminClient(path) as client:
        assert client.call("status", timeout=5) == "mine"


def test_a_client_connects_again_after_a_lost_connection(path: Path) -> None:
    with AdminClient(path) as client:
        with serving(path):
            assert client.connect(5) == os.getpid()
            client.call("status", timeout=5)
        with pytest.raises(UnreachableError):
            client.call("status", timeout=5)
        with serving(path):
            assert client.call("status", timeout=5)["state"] == "ready"
