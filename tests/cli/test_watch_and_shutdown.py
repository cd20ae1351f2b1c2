"""Commands that go on: ``status --watch`` and ``shutdown``, as processes, with a daemon process that really ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.admin.fake_daemon import serving
from tests.cli.conftest import BIB, Bib
from tests.cli.terminal import Terminal

DAEMON = """
import os, signal, sys, threading
from pathlib import Path
from tests.admin.fake_daemon import answer, serving

ended = threading.Event()

def handle(call, responder):
    responder.result(answer(call))
    if call.method == "shutdown":
        ended.set()

with serving(Path(sys.argv[1]), handle):
    print("up", flush=True)
    ended.wait()
if len(sys.argv) > 2:
    signal.pause()  # the socket refuses, the process lives
"""


@pytest.fixture
def daemon_process(socket_path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", DAEMON, str(socket_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
        process.kill()


def test_shutdown_waits_until_the_process_is_gone(daemon_process: subprocess.Popen[str], bib: Bib) -> None:
    shown = bib("admin", "shutdown")
    assert (shown.code, shown.out) == (0, f"bibd (pid {daemon_process.pid}) has stopped\n")
    assert Path(f"/proc/{daemon_process.pid}/stat").read_text().split()[2] == "Z"
    assert bib("admin", "status").code == 3


def test_shutdown_is_not_fooled_by_a_closed_socket(socket_path: Path, bib: Bib) -> None:
    command = [sys.executable, "-c", DAEMON, str(socket_path), "linger"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        shown = bib("admin", "shutdown", "--timeout", "0.5")
        assert shown.code == 1
        assert f"bibd (pid {process.pid}) still runs 0.5 s" in shown.err
        assert not socket_path.exists()
        process.kill()


def test_watch_in_a_pipe_prints_one_json_object_a_line_and_survives_a_restart(socket_path: Path) -> None:
    command = [*BIB, "admin", "status", "--watch", "--interval", "0.1"]
    with serving(socket_path):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(3):
            assert json.loads(process.stdout.readline())["state"] == "ready"
    while "error" not in (look := json.loads(process.stdout.readline())):
        pass
    assert look["error"]["exit_code"] == 3
    with serving(socket_path):
        while "error" in json.loads(process.stdout.readline()):
            pass
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (130, "")


def test_watch_without_a_daemon_fails_at_once(socket_path: Path, bib: Bib) -> None:
    assert bib("admin", "status", "--watch").code == 3
    assert not socket_path.exists()


def test_watch_on_a_terminal_redraws_until_interrupted(socket_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    command = [*BIB, "admin", "status", "--watch", "--interval", "0.1"]
    with serving(socket_path), Terminal(command) as terminal:
        terminal.expect(b"Node State", times=3)
        terminal.expect(b"Ctrl-C ends it")
        terminal.type(b"\x03")
        assert terminal.exit_code() == 130
    assert b"Traceback" not in terminal.seen
