"""Signals arrive as values, at once, and leave no trace in threads and children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bibd.process.signals import Signal, Signals


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def signals(clock: Clock) -> Iterator[Signals]:
    with Signals(clock) as installed:
        yield installed


def raised(signals: Signals, number: signal.Signals) -> Signal | None:
    os.kill(os.getpid(), number)
    return signals.wait(0)


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_the_first_stops_and_each_further_one_forces(
    signals: Signals, clock: Clock, first: signal.Signals, second: signal.Signals
) -> None:
    assert raised(signals, first) is Signal.STOP
    clock.now += 1
    assert raised(signals, second) is Signal.FORCE
    assert raised(signals, first) is Signal.FORCE


def test_one_ctrl_c_that_arrives_twice_does_not_force(signals: Signals, clock: Clock) -> None:
    assert raised(signals, signal.SIGINT) is Signal.STOP
    clock.now += 0.01
    assert raised(signals, signal.SIGINT) is None


def test_hangup_reloads_each_time(signals: Signals) -> None:
    assert raised(signals, signal.SIGHUP) is Signal.RELOAD
    assert raised(signals, signal.SIGHUP) is Signal.RELOAD


def test_two_kinds_before_a_wait_are_both_delivered(signals: Signals) -> None:
    os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGTERM)
    assert {signals.wait(0), signals.wait(0)} == {Signal.RELOAD, Signal.STOP}
    assert signals.wait(0) is None


def test_stop_overtakes_a_storm_of_hangups_which_is_one_reload(signals: Signals) -> None:
    for _ in range(2000):
        os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGTERM)
    assert [signals.wait(0) for _ in range(3)] == [Signal.STOP, Signal.RELOAD, None]


def test_retired_ones_ignore_what_comes_late() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        Signals().retire()
        for number in before:
            os.kill(os.getpid(), number)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_wait_ends_at_its_time_and_by_wake_from_another_thread() -> None:
    with Signals() as signals:
        assert signals.wait(0.01) is None
        waker = threading.Timer(0.05, signals.wake)
        waker.start()
        assert signals.wait(30) is None
        waker.join()


def test_what_was_there_before_is_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names
    Signals().close()
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)] == before
    assert len(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208


# Other threads are busy or blocked; the main thread waits without a limit. It says when the signal reached it.
DAEMON = """
import subprocess, sys, threading, time
from bibd.process.signals import Signals
signals = Signals(lambda: time.monotonic() * 1e6)  # so that nothing is an echo
child = subprocess.Popen(["sleep", "60"])
threading.Thread(target=threading.Event().wait, daemon=True).start()
print(child.pid, flush=True)
while (found := signals.wait(None)) is not None:
    print(found.value, time.monotonic(), flush=True)
    if found.value == "force":
        break
child.wait()
"""


def test_a_sleeping_daemon_wakes_at_once_and_its_children_stay_killable() -> None:
    with subprocess.Popen([sys.executable, "-c", DAEMON], stdout=subprocess.PIPE, text=True) as daemon:
        try:
            assert daemon.stdout is not None
            child = int(daemon.stdout.readline())
            status = Path(f"/proc/{child}/status").read_text().splitlines()
            masks = [line.split()[1] for line in status if line.startswith(("SigBlk", "SigIgn"))]
            for number, meaning in ((signal.SIGHUP, "reload"), (signal.SIGTERM, "stop"), (signal.SIGINT, "force")):
                sent = time.monotonic()
                daemon.send_signal(number)
                name, moment = daemon.stdout.readline().split()
                assert name == meaning
                # 0.1 ms when idle; the limit only tells waking from polling.
                assert float(moment) - sent < 0.5
            os.kill(child, signal.SIGTERM)
            assert daemon.wait(10) == 0
        finally:
            daemon.kill()
    inherited = (1 << signal.SIGTERM - 1) | (1 << signal.SIGINT - 1) | (1 << signal.SIGHUP - 1)
    assert all(int(mask, 16) & inherited == 0 for mask in masks)
