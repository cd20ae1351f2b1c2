"""Child processes: run as the server's account, with nothing of our environment, stopped on request."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bibd.errors import BibdError
from bibd.postgres.account import Account

# No PG* variable, no secret and no locale of ours reaches a child. TZ also spares initdb a search through
# the whole time zone directory for the one that matches the machine's.
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

# How often a wait looks at the cancel event; the wait itself ends at once when the child does.
CANCEL_POLL = 0.02


class Cancelled(BibdError):  # noqa: N818 -- not an error: somebody asked for it
    """The caller's event was set; nothing that was started still runs."""

    def __init__(self) -> None:
        super().__init__("cancelled")


@dataclass(frozen=True, slots=True)
class Finished:
    code: int
    output: str  # stdout and stderr, in the order written


def run(
    argv: Sequence[str | Path],
    *,
    account: Account,
    cancel: threading.Event,
    timeout: float,
    cwd: Path | None = None,
    stdin: str = "",
) -> Finished:
    """Run a command to its end, with at most 4 kB of ``stdin``.

    Raises Cancelled, and BibdError after ``timeout`` seconds: then its whole process group is gone.
    OSError when it cannot be executed (PermissionError: not by this account).
    """
    with _spawn(argv, account=account, cwd=cwd or Path("/"), stdin=subprocess.PIPE, output=subprocess.PIPE) as child:
        assert child.stdin is not None  # noqa: S101 -- both are pipes
        assert child.stdout is not None  # noqa: S101
        try:
            with suppress(BrokenPipeError):
                child.stdin.write(stdin.encode())
                child.stdin.close()
            output = _read_to_end(child.stdout, cancel, time.monotonic() + timeout, str(argv[0]))
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            # Grandchildren hold the pipe too: its end says that all of them are gone.
            _read_to_end(child.stdout, threading.Event(), time.monotonic() + 5, str(argv[0]))
            raise
        return Finished(child.wait(), output.decode(errors="replace"))


def _read_to_end(pipe: IO[bytes], cancel: threading.Event, deadline: float, name: str) -> bytes:
    chunks: list[bytes] = []
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            if cancel.is_set():
                raise Cancelled
            if time.monotonic() > deadline:
                raise BibdError(f"{name} did not finish in time", "look at the load and the disk of this machine")
            if selector.select(CANCEL_POLL):
                chunk = os.read(pipe.fileno(), 65536)
                if not chunk:
                    return b"".join(chunks)
                chunks.append(chunk)


# A server outlives the object that started it, yet must be reaped when it dies: its process id would stay
# taken, and PostgreSQL would take the zombie for a running server.
_servers: list[subprocess.Popen[bytes]] = []


def start_server(argv: Sequence[str | Path], *, account: Account, cwd: Path, log_file: Path) -> subprocess.Popen[bytes]:
    """Start a process that survives us: its own session, output appended to ``log_file`` (0600)."""
    reap_servers()
    descriptor = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        child = _spawn(argv, account=account, cwd=cwd, stdin=subprocess.DEVNULL, output=descriptor)
    finally:
        os.close(descriptor)
    _servers.append(child)
    return child


def reap_servers() -> None:
    for child in list(_servers):
        if child.poll() is not None:
            with suppress(ValueError):  # another thread was faster
                _servers.remove(child)


# Those whose exit status is ours to take: a pid in here is not reaped below.
_children: weakref.WeakSet[subprocess.Popen[bytes]] = weakref.WeakSet()
_spawning = threading.Lock()


def reap_inherited() -> None:
    """Reap what a dead postmaster left to us: process 1 of a container without an init inherits orphans.

    Else each crash of the server would leave some ten zombies.
    """
    with _spawning:
        own = {child.pid for child in _children if child.returncode is None}
        for name in os.listdir("/proc"):  # noqa: PTH208 -- a Path for each of thousands of processes is slow
            if name.isdigit() and int(name) not in own and _is_inherited_zombie(name):
                with suppress(ChildProcessError):
                    os.waitpid(int(name), os.WNOHANG)


def _is_inherited_zombie(pid: str) -> bool:
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(") ")
    except OSError:
        return False
    state, parent = rest.split()[:2]
    return state == "Z" and int(parent) == os.getpid() and name.partition("(")[2] in {"postgres", "initdb"}


def _spawn(
    argv: Sequence[str | Path], *, account: Account, cwd: Path, stdin: int, output: int
) -> subprocess.Popen[bytes]:
    with _spawning:
        child = subprocess.Popen(
            [str(word) for word in argv],
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=ENVIRONMENT,
            start_new_session=True,  # neither the terminal's ^C nor its hang-up reaches it
            umask=0o077,
            user=account.uid if account.switch else None,
            group=account.gid if account.switch else None,
            extra_groups=[] if account.switch else None,
        )
        _children.add(child)
    return child
