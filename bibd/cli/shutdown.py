"""``bib admin shutdown``: asks, then waits until the process has ended and its socket refuses."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from typing import Any, TextIO

from bibd.admin.client import AdminClient
from bibd.errors import BibdError, UnreachableError

# The daemon agrees at once; it stops afterwards.
ANSWER_SECONDS = 10.0
POLL_SECONDS = 0.1


def shut_down(client: AdminClient, *, force: bool, wait: float | None, progress: TextIO) -> Any:
    """The daemon's answer; ``wait`` in seconds, None to return at once.

    Raises UnreachableError, RefusedError, and BibdError when it still runs after ``wait``.
    """
    with closing(client):
        # Before it is asked: afterwards its number could be another process's.
        with _process(client.connect(ANSWER_SECONDS)) as process:
            answer = client.call("shutdown", {"force": force}, timeout=ANSWER_SECONDS)
            client.close()
            if wait is not None:
                _wait(client, process, int(answer["pid"]), wait, progress)
        return answer


@contextmanager
def _process(pid: int) -> Generator[int | None]:
    """A pidfd, pidfd_open(2); None when the process is not of our PID namespace, or has just ended."""
    try:
        descriptor = os.pidfd_open(pid) if pid > 0 else None
    except OSError:
        descriptor = None
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _wait(client: AdminClient, process: int | None, pid: int, seconds: float, progress: TextIO) -> None:
    start = time.monotonic()
    drawn = progress.isatty()
    try:
        while not (_ended(process) and _refuses(client)):
            passed = time.monotonic() - start
            if passed >= seconds:
                raise BibdError(
                    f"bibd (pid {pid}) still runs {seconds:g} s after it was asked to stop",
                    "look at its log; or: bib admin shutdown --force",
                )
            if drawn:
                progress.write(f"\rwaiting for bibd (pid {pid}) to stop: {passed:.0f} s ")
                progress.flush()
            time.sleep(0 if process is not None and not _ended(process) else POLL_SECONDS)
    finally:
        if drawn:
            progress.write("\r\x1b[K")
            progress.flush()


def _ended(process: int | None) -> bool:
    """Waits a moment for it. Without a process to watch, the socket alone decides."""
    return process is None or bool(select.select([process], [], [], POLL_SECONDS)[0])


def _refuses(client: AdminClient) -> bool:
    try:
        client.connect(POLL_SECONDS)
    except UnreachableError:
        return True
    client.close()
    return False
