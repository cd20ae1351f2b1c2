"""Cancellation at any moment of a start: nothing it started still runs, and the next start works."""

from __future__ import annotations

import random
import shutil
import threading
from pathlib import Path

import pytest

from bibd.postgres.child import Cancelled
from bibd.postgres.server import EmbeddedServer
from bibd.postgres.spec import ServerSpec
from tests.postgres.scenario import processes_of, server_of, spec_of, start

SEED = 20240917


class LooksEvent(threading.Event):
    """Set from the n-th look on: a start sees a cancellation only where it looks, so this reaches every moment."""

    def __init__(self, at: int | None) -> None:
        super().__init__()
        self.at = at
        self.looks = 0

    def is_set(self) -> bool:
        self.looks += 1
        if self.at is not None and self.looks >= self.at:
            self.set()
        return super().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set() or super().wait(timeout)


def looks_of_a_start(server: EmbeddedServer) -> int:
    event = LooksEvent(None)
    server.ensure(event, lambda _: None)
    return event.looks


def cancelled_at(server: EmbeddedServer, look: int) -> bool:
    """False when the start was faster."""
    try:
        server.ensure(LooksEvent(look), lambda _: None)
    except Cancelled:
        return True
    return False


def test_first_start_cancelled_at_many_moments_leaves_nothing_and_the_next_works(data_dir: Path) -> None:
    data_dir.mkdir()
    looks = looks_of_a_start(server_of(spec_of(data_dir / "measure")))
    server_of(spec_of(data_dir / "measure")).stop(30)
    assert looks > 15
    chosen = random.Random(SEED).sample(range(1, looks), 7)  # noqa: S311
    spec = spec_of(data_dir / "d")
    server = server_of(spec)
    for look in (1, 2, *chosen):
        if cancelled_at(server, look):
            assert processes_of(spec.root) == [], look
            assert list(spec.root.rglob("data.new*")) == [], look
        else:
            assert server.alive()
            server.stop(30)
            shutil.rmtree(spec.root)
    # Once, since a first start takes a second; what it starts from is what each cancelled one left.
    assert start(server).pid
    assert server.stop(30).clean


def test_later_start_cancelled_at_many_moments_leaves_nothing_and_the_next_works(prepared: ServerSpec) -> None:
    looks = looks_of_a_start(server_of(prepared))
    server_of(prepared).stop(30)
    chosen = random.Random(SEED).sample(range(1, looks), min(10, looks - 1))  # noqa: S311
    outcomes: list[bool] = []
    for look in chosen:
        server = server_of(prepared)
        outcomes.append(cancelled_at(server, look))
        if outcomes[-1]:
            assert processes_of(prepared.root) == [], look
        server.stop(30)
        assert start(server).pid
        assert server.stop(30).clean
    assert any(outcomes)


def test_cancelled_adoption_leaves_the_server_running(prepared: ServerSpec) -> None:
    first = start(server_of(prepared))
    with pytest.raises(Cancelled):
        server_of(prepared).ensure(LooksEvent(2), lambda _: None)
    second = start(server_of(prepared))
    assert (second.pid, second.adopted) == (first.pid, True)
