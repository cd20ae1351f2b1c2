"""Stopping servers: politely first, and never without waiting until the process is gone."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bibd.errors import BibdError
from bibd.postgres.account import Account
from bibd.postgres.binaries import Binaries
from bibd.postgres.child import Cancelled, reap_servers, run
from bibd.postgres.postmaster import Process, holders

# After SIGQUIT the postmaster itself kills, after 5 s, children that do not listen (SIGKILL_CHILDREN_AFTER_SECS).
IMMEDIATE_TIMEOUT = 7.0
KILL_TIMEOUT = 5.0

# A backend notices SIGTERM at its next interrupt check, SIGQUIT wherever it is.
ORPHAN_TIMEOUT = 5.0

_NEVER = threading.Event()


@dataclass(frozen=True, slots=True)
class StopResult:
    """``how``: absent (nothing ran) | fast | immediate | killed. ``clean``: the next start needs no recovery."""

    how: str
    seconds: float
    clean: bool


def wait_gone(processes: Sequence[Process], timeout: float, monotonic: Callable[[], float]) -> bool:
    """Whether all were gone within ``timeout`` seconds."""
    began = monotonic()
    while True:
        reap_servers()
        if not any(process.alive() for process in processes):
            return True
        waited = monotonic() - began
        if waited >= timeout:
            return False
        time.sleep(0.002 if waited < 1 else 0.02)


def stop_postmaster(
    process: Process,
    *,
    data: Path,
    cluster: str,
    timeout: float,
    immediate: bool,
    monotonic: Callable[[], float],
) -> str:
    """Fast shutdown (SIGINT), after ``timeout`` immediate (SIGQUIT), then SIGKILL: at most ``timeout`` + 17 s.

    Signals are those of pg_ctl (PostgreSQL documentation, 18.5). Raises BibdError when the process stays.
    """
    if not immediate:
        process.signal(signal.SIGINT)
        if wait_gone([process], timeout, monotonic):
            return "fast"
    process.signal(signal.SIGQUIT)
    # A stopped (SIGSTOP) process sees no signal but these two.
    process.signal(signal.SIGCONT)
    if wait_gone([process], IMMEDIATE_TIMEOUT, monotonic):
        return "immediate"
    process.signal(signal.SIGKILL)
    if not wait_gone([process], KILL_TIMEOUT, monotonic):
        raise BibdError(
            f"PostgreSQL (pid {process.pid}) does not go away, not even after SIGKILL",
            "the kernel holds it, most often for a disk that does not answer: look at dmesg",
        )
    # Its children have lost their postmaster, and would keep the next one from starting.
    end_orphans(data, cluster, cancel=_NEVER, monotonic=monotonic)
    return "killed"


def end_orphans(data: Path, cluster: str, *, cancel: threading.Event, monotonic: Callable[[], float]) -> list[int]:
    """End the processes of ``data`` that outlived their postmaster; their ids.

    Most notice its death by themselves, a busy backend only when it talks to its client. Nothing is lost: the
    next start recovers from the write-ahead log anyway. Raises BibdError when some stay, Cancelled.
    """
    seen: dict[int, None] = {}
    # The first round gives those that notice by themselves the time to do it.
    for number, timeout in ((None, 0.1), (signal.SIGTERM, ORPHAN_TIMEOUT), (signal.SIGQUIT, ORPHAN_TIMEOUT)):
        deadline = monotonic() + timeout
        signalled: set[Process] = set()
        while found := holders(data, cluster):
            seen.update(dict.fromkeys(process.pid for process in found))
            for process in found:
                if number is not None and process not in signalled:
                    process.signal(number)
                    signalled.add(process)
            if monotonic() > deadline:
                break
            if cancel.wait(0.01):
                raise Cancelled
        else:
            return list(seen)
    pids = ", ".join(str(process.pid) for process in holders(data, cluster))
    raise BibdError(
        f"processes of an earlier PostgreSQL server still hold {data}: {pids}",
        f"nothing may run there beside a new server; look why they do not end, then: kill -9 {pids.replace(',', '')}",
    )


def is_clean(data: Path, binaries: Binaries, account: Account) -> bool:
    """Whether pg_control says that the server was shut down in order."""
    finished = run([binaries.tool("pg_controldata"), "-D", data], account=account, cancel=_NEVER, timeout=20.0)
    return re.search(r"^Database cluster state:\s+shut down( in recovery)?$", finished.output, re.MULTILINE) is not None
