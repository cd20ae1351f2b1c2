"""Wait until a tree has nothing left to do."""

from __future__ import annotations

import time
from collections.abc import Collection

from bibd.supervision.cell import Cell
from bibd.supervision.system import ActorSystem


def settle(system: ActorSystem, *, timeout: float = 5.0, but_for: Collection[str] = ()) -> None:
    """Until every inbox is empty, every handler has returned and every piped job has ended.

    ``but_for``: paths (``root/health``) of actors that hang on purpose, so that nobody waits for them.
    Timers that are still to fire do not count: with a ManualClock, ``advance`` and then ``settle``.
    Raises AssertionError with the names of the busy ones.
    """
    deadline = time.monotonic() + timeout
    before: dict[Cell, int] | None = None
    # Two looks that see all idle and the same number of messages let in: nothing went round behind our back between
    # two cells that are looked at in turn (Mattern's double counting).
    while True:
        cells = tuple(system.runtime.cells)
        busy = [cell.path for cell in cells if not cell.idle and cell.path not in but_for]
        seen = {cell: cell.inbox.accepted for cell in cells}
        if not busy and seen == before:
            return
        before = None if busy else seen
        if time.monotonic() > deadline:
            raise AssertionError(f"still busy after {timeout:g} s: {', '.join(busy)}")
        time.sleep(0.0005)
