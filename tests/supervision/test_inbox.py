"""The two-lane inbox."""

from __future__ import annotations

import threading
import time
from queue import SimpleQueue
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bibd.supervision.inbox import NOBODY, Crash, Inbox, Offer, Slot, Stop


def test_control_overtakes_work_and_each_lane_keeps_its_order() -> None:
    inbox = Inbox(limit=10)
    first, second = Crash(ValueError()), Stop()
    for work in (1, 2):
        inbox.offer(work)
    inbox.offer_control(first)
    inbox.offer_control(second)
    assert [inbox.take()[0] for _ in range(4)] == [first, second, 1, 2]


def test_work_is_bounded_but_neither_control_nor_ones_own_timers_are() -> None:
    inbox = Inbox(limit=1)
    assert inbox.offer(1) is Offer.ACCEPTED
    assert inbox.offer(2) is Offer.FULL
    assert inbox.offer(3, unbounded=True) is Offer.ACCEPTED
    assert inbox.offer_control(Stop()) is Offer.ACCEPTED
    assert len(inbox) == inbox.accepted == 3


def test_a_closed_inbox_hands_back_its_work_and_its_crashes_and_refuses_the_rest() -> None:
    inbox = Inbox(limit=10)
    crash = Crash(ValueError())
    slot: Slot = SimpleQueue()
    inbox.offer("work", slot)
    inbox.offer_control(Stop())
    inbox.offer_control(crash)
    assert inbox.close() == [(crash, None), ("work", slot)]
    assert inbox.close() == []
    assert inbox.offer("more") is Offer.CLOSED
    assert inbox.offer_control(Stop()) is Offer.CLOSED
    assert inbox.closed


def test_a_stop_is_visible_at_once_also_to_a_busy_receiver() -> None:
    inbox = Inbox(limit=10)
    inbox.offer("work")
    assert not inbox.stop_requested.is_set()
    inbox.offer_control(Stop())
    assert inbox.stop_requested.is_set()


def test_an_abandoned_receiver_that_comes_back_is_told_to_stop_and_never_waits() -> None:
    inbox = Inbox(limit=10)
    inbox.offer(1)
    inbox.close()
    taken: list[Any] = []
    thread = threading.Thread(target=lambda: taken.extend(inbox.take()[0] for _ in range(2)), daemon=True)
    thread.start()
    thread.join(5)
    assert [type(message) for message in taken] == [Stop, Stop]


def test_idle_means_waiting_with_nothing_to_take() -> None:
    inbox = Inbox(limit=10)

    def idle() -> bool:
        return inbox.idle

    assert not idle()  # the receiver has not come yet
    inbox.offer(1)
    inbox.take()
    assert not idle()  # it works on 1
    receiver = threading.Thread(target=inbox.take, daemon=True)
    receiver.start()
    deadline = time.monotonic() + 5
    while not idle():
        assert time.monotonic() < deadline
    inbox.offer(2)
    receiver.join(5)
    assert not idle()
    inbox.close()
    assert not idle()  # on its way out


def test_nobody_refuses_all() -> None:
    assert NOBODY.offer(1) is Offer.CLOSED


@given(st.lists(st.sampled_from(["work", "control", "take"]), max_size=40), st.integers(1, 5))
def test_nothing_accepted_is_lost_or_doubled(steps: list[str], limit: int) -> None:
    inbox = Inbox(limit)
    accepted: set[int] = set()
    seen: list[int] = []
    for number, step in enumerate(steps):
        if step == "take":
            if len(inbox):
                seen.append(inbox.take()[0])
        elif (inbox.offer if step == "work" else inbox.offer_control)(number) is Offer.ACCEPTED:
            accepted.add(number)
    while len(inbox):
        seen.append(inbox.take()[0])
    assert sorted(seen) == sorted(accepted)
