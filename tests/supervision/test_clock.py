"""The real clock, and the one that tests move."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from datetime import UTC, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibd.supervision import Clock, SystemClock
from bibd.supervision.testkit import ManualClock


@pytest.fixture
def system_clock() -> Iterator[SystemClock]:
    clock = SystemClock()
    yield clock
    clock.close()


def test_both_are_clocks(system_clock: SystemClock) -> None:
    clocks: list[Clock] = [system_clock, ManualClock()]
    assert all(clock.now().tzinfo is UTC for clock in clocks)


def test_system_timers_fire_in_the_order_of_their_time(system_clock: SystemClock) -> None:
    fired: list[int] = []
    done = threading.Event()
    system_clock.call_later(0.09, done.set)
    system_clock.call_later(0.06, lambda: fired.append(3))
    system_clock.call_later(0.03, lambda: fired.append(2))
    system_clock.call_later(-1, lambda: fired.append(1))
    assert done.wait(5)
    assert fired == [1, 2, 3]


def test_a_cancelled_system_timer_does_not_fire(system_clock: SystemClock) -> None:
    fired: list[int] = []
    done = threading.Event()
    cancelled = system_clock.call_later(0.01, lambda: fired.append(1))
    cancelled.cancel()
    cancelled.cancel()
    timer = system_clock.call_later(0.02, done.set)
    assert done.wait(5)
    assert fired == []
    assert cancelled.spent
    assert timer.spent


def test_a_failing_callback_does_not_take_the_other_timers_with_it(
    system_clock: SystemClock, caplog: pytest.LogCaptureFixture
) -> None:
    done = threading.Event()

    def fail() -> None:
        raise ValueError("a bad callback")

    with caplog.at_level(logging.ERROR, "bibd.supervision"):
        system_clock.call_later(0, fail)
        system_clock.call_later(0.01, done.set)
        assert done.wait(5)
    assert "a timer's callback failed" in caplog.text


def test_a_closed_system_clock_fires_nothing_and_its_thread_ends() -> None:
    clock = SystemClock()
    fired: list[int] = []
    clock.call_later(0.02, lambda: fired.append(1))
    clock.close()
    clock.close()
    assert clock.call_later(0, lambda: fired.append(2)).spent
    assert not [thread for thread in threading.enumerate() if thread.name == "bibd:clock"]
    assert fired == []


def test_a_system_clock_may_be_closed_from_its_own_callback() -> None:
    clock = SystemClock()
    closed = threading.Event()

    def close() -> None:
        clock.close()
        closed.set()

    clock.call_later(0, close)
    assert closed.wait(5)


def test_a_timer_for_which_there_was_no_thread_does_not_spoil_the_next(
    system_clock: SystemClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            system_clock.call_later(0, lambda: None)
    done = threading.Event()
    system_clock.call_later(0, done.set)
    assert done.wait(5)


def test_manual_time_moves_only_when_told_to() -> None:
    clock = ManualClock()
    began = clock.now()
    clock.advance(90)
    assert clock.monotonic() == 90
    assert clock.now() - began == timedelta(seconds=90)


def test_manual_timers_fire_at_their_own_time_also_those_that_a_timer_makes() -> None:
    clock = ManualClock()
    fired: list[tuple[str, float]] = []

    def note(name: str) -> None:
        fired.append((name, clock.monotonic()))

    def first() -> None:
        note("a")
        clock.call_later(0.5, lambda: note("a+"))

    clock.call_later(2, lambda: note("b"))
    clock.call_later(1, first)
    clock.call_later(9, lambda: note("late"))
    clock.advance(3)
    assert fired == [("a", 1.0), ("a+", 1.5), ("b", 2.0)]
    assert clock.pending() == [6.0]
    clock.close()
    clock.advance(10)
    assert len(fired) == 3


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=30), st.floats(0, 100))
def test_manual_timers_fire_if_due_and_not_cancelled(timers: list[tuple[float, bool]], until: float) -> None:
    clock = ManualClock()
    fired: list[float] = []
    for delay, cancelled in timers:
        timer = clock.call_later(delay, lambda delay=delay: fired.append(delay))  # type: ignore[misc]
        if cancelled:
            timer.cancel()
    clock.advance(until)
    assert fired == sorted(delay for delay, cancelled in timers if not cancelled and delay <= until)
