"""Wait until a tree has nothing left to do."""

from __future__ import annotations

import time

from bibd.supervision.system import ActorSystem


def settle(system: ActorSystem, *, timeout: float = 5.0) -> None:
    """Until every inbox is empty, every handler has returned and every piped job has ended.

    Timers that are still to fire do not count: with a ManualClock, ``advance`` and then ``settle``.
    Raises AssertionError with the names of the busy ones.
    """
    deadline = time.monotonic() + timeout
    calm = 0
    while calm < 2:  # twice, since a message may be on its way between two cells that are looked at in turn
        busy = [cell.path for cell in tuple(system.runtime.cells) if not cell.idle]
        calm = 0 if busy else calm + 1
        if time.monotonic() > deadline:
            raise AssertionError(f"still busy after {timeout:g} s: {', '.join(busy)}")
        time.sleep(0.0005)
