"""Start and stop trees from many threads, and count what they leave behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pykka

from bibd.supervision.system import ActorSystem


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What was there after the storm and not before it: numbers of each."""

    threads: int
    file_descriptors: int
    registered: int

    def __bool__(self) -> bool:
        return bool(self.threads or self.file_descriptors or self.registered)


def start_stop_storm(
    make: Callable[[], ActorSystem],
    *,
    threads: int = 10,
    rounds: int = 50,
    timeout: float = 60.0,
    patience: float = 5.0,
) -> Leftovers:
    """Each of ``threads`` makes, starts and stops ``rounds`` systems; every other one before it is ready.

    What is still there ``patience`` seconds after the last stop counts as left over.
    """

    def storm(number: int) -> None:
        for turn in range(rounds):
            system = make()
            system.start()
            if (turn + number) % 2:
                system.wait_ready(timeout)
            system.stop()

    before = _census()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(storm, range(threads)))
    deadline = time.monotonic() + patience
    while any(now > then for now, then in zip(_census(), before, strict=True)) and time.monotonic() < deadline:
        time.sleep(0.005)  # a thread's last instructions come after its Down
    return Leftovers(*(max(0, now - then) for now, then in zip(_census(), before, strict=True)))


def _census() -> tuple[int, int, int]:
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir())), len(pykka.ActorRegistry.get_all())
