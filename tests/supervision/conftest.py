"""What every test of the kernel gets: a gate for threads that hang, and a look at what is left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pykka
import pytest

from bibd.supervision import ChildSpec
from tests.supervision.puppet import Tree


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Opened after the test, so that a thread which hung on purpose ends."""
    opened = threading.Event()
    yield opened
    opened.set()


@pytest.fixture(autouse=True)
def nothing_is_left(gate: threading.Event) -> Iterator[None]:
    """Every thread and registry entry that a test made is gone after it."""
    before = set(threading.enumerate())
    yield
    gate.set()
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith(("root", "bibd:")):
            thread.join(5)
            assert not thread.is_alive(), f"{thread.name} was left behind"
    left = pykka.ActorRegistry.get_all()
    for ref in left:  # or every test after this one would fail too
        pykka.ActorRegistry.unregister(ref)
    assert left == []


@pytest.fixture
def tree(gate: threading.Event) -> Iterator[Callable[..., Tree]]:
    """Makes trees under a manual clock, and stops them after the test."""
    made: list[Tree] = []

    def make(*specs: ChildSpec, **arguments: object) -> Tree:
        made.append(Tree(*specs, **arguments))  # type: ignore[arg-type]  # handed through
        return made[-1]

    yield make
    gate.set()
    for one in made:
        one.system.stop()
