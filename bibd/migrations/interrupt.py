"""End a statement that runs, from another thread, without ever hitting the wrong one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

# How often the cancel event is looked at while a statement runs.
_CANCEL_POLL = 0.05


class InterruptGate:
    """Interrupts a statement when ``cancel`` is set, but only while it is one that may be."""

    def __init__(self, cancel: threading.Event, interrupt: Callable[[], None]) -> None:
        self._cancel = cancel
        self._interrupt = interrupt
        self._lock = threading.Lock()
        self._interruptible = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="migration-cancel", daemon=True)

    def open(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    @contextmanager
    def interruptible(self) -> Generator[None]:
        with self._lock:
            self._interruptible = True
        try:
            yield
        finally:
            # An interrupt that is under way ends first: the update of the state table that follows must not be hit.
            with self._lock:
                self._interruptible = False

    def _watch(self) -> None:
        while not self._over.wait(_CANCEL_POLL):
            if self._cancel.is_set():
                with self._lock:
                    if self._interruptible:
                        self._interrupt()
