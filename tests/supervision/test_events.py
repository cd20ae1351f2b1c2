"""Events: a text for people, a map for machines, and subscribers that cannot do harm."""

from __future__ import annotations

import dataclasses
import inspect
import json
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from bibd.supervision import events
from bibd.supervision.events import (
    ChildAbandoned,
    ChildDown,
    ChildGone,
    ChildStarting,
    ChildStopping,
    ChildUp,
    Escalated,
    Event,
    RestartScheduled,
    TreeDown,
    TreeUp,
    Undeliverable,
)
from bibd.supervision.reasons import (
    Abandoned,
    ChildFailed,
    Crashed,
    DependencyFailed,
    Finished,
    NotReady,
    Reason,
    RestartsExceeded,
    Shutdown,
)
from tests.supervision.puppet import BoomError, Do, Stage, Tree, child, raising

Make = Callable[..., Tree]
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

TEXTS: list[tuple[Event, str]] = [
    (ChildStarting(AT, "root/a", 1), "root/a starting"),
    (ChildStarting(AT, "root/a", 2), "root/a starting (generation 2)"),
    (ChildUp(AT, "root/a", 1, 0.25), "root/a up after 0.250 s"),
    (ChildStopping(AT, "root/a", 1), "root/a stopping"),
    (ChildDown(AT, "root/a", 1, Shutdown(), 0.5), "root/a down after 0.500 s: stopped"),
    (ChildDown(AT, "root/a", 1, Crashed(ValueError("x\ny")), 0.0), "root/a down: ValueError: x"),
    (ChildAbandoned(AT, "root/a", 1, "File …"), "root/a hangs and is abandoned; its stack:\nFile …"),
    (
        RestartScheduled(AT, "root/a", 2, 0.2, Finished()),
        "root/a will restart in 0.20 s (attempt 2): finished",
    ),
    (ChildGone(AT, "root/a", NotReady(3)), "root/a is given up: not ready within 3 s"),
    (
        Escalated(AT, "root", RestartsExceeded("a", 5, 60, Crashed(KeyError()))),
        "root gives up: more than 5 restarts in 60 s, the last of a: KeyError",
    ),
    (Undeliverable(AT, "root/a", "Tick", "closed"), "root/a: Tick not delivered (closed)"),
    (TreeUp(AT, "root", 1.5), "root ready after 1.500 s"),
    (TreeDown(AT, "root", ChildFailed("a", Abandoned(5, "…"))), "root ended: a: abandoned: did not stop within 5 s"),
]


@pytest.mark.parametrize(("event", "text"), TEXTS)
def test_every_event_has_a_text(event: Event, text: str) -> None:
    assert event.text() == text


def test_no_event_is_without_a_text() -> None:
    known = {kind for _, kind in inspect.getmembers(events, inspect.isclass) if issubclass(kind, Event)} - {Event}
    assert {type(event) for event, _ in TEXTS} == known


@pytest.mark.parametrize("event", [event for event, _ in TEXTS])
def test_every_event_is_a_map_that_json_takes(event: Event) -> None:
    found = event.as_dict()
    assert json.loads(json.dumps(found)) == found
    assert list(found) == ["event", *(field.name for field in dataclasses.fields(event))]
    assert found["at"] == "2026-01-02T03:04:05+00:00"  # RFC 3339


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (DependencyFailed("db"), "db, which it needs, failed"),
        (Crashed(ValueError()), "ValueError"),
        (ChildFailed("db", NotReady(0.5)), "db: not ready within 0.5 s"),
    ],
)
def test_every_reason_has_a_text(reason: Reason, text: str) -> None:
    assert str(reason) == text


def test_the_traceback_of_a_crash_is_at_hand(tree: Make) -> None:
    one = tree(child("a")).up()
    one.tell("a", raising(BoomError("here")))
    down = one.log.expect(ChildDown)
    assert "BoomError: here" in down.traceback
    assert "in act" in down.traceback
    assert ChildDown(AT, "root/a", 1, Shutdown(), 0.0).traceback == ""


@pytest.mark.parametrize("error", [ValueError("a bad subscriber"), SystemExit(1)])
def test_a_failing_subscriber_is_logged_and_harms_nobody(
    tree: Make, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    one = tree(child("a"))

    def fail(_: Event) -> None:
        raise error

    one.system.subscribe(fail)
    with caplog.at_level(logging.ERROR, "bibd.supervision"):
        one.up()
        assert isinstance(one.system.stop().reason, Shutdown)
    assert "a subscriber failed on ChildUp" in caplog.text


def test_an_unsubscribed_subscriber_hears_no_more(tree: Make) -> None:
    one = tree(child("a"))
    heard: list[Event] = []
    unsubscribe = one.system.subscribe(heard.append)
    one.up()
    unsubscribe()
    unsubscribe()
    before = len(heard)
    one.system.stop()
    assert len(heard) == before > 0


def test_a_subscriber_that_sends_events_to_a_dead_actor_does_not_go_round_for_ever(tree: Make) -> None:
    one = tree(child("a")).up()
    a = one.system.ref("a", Stage)
    one.system.subscribe(lambda _: a.tell(Do(lambda _: None)))
    one.system.stop()
    before = one.system.runtime.undelivered
    a.tell(Do(lambda _: None))
    assert one.system.runtime.undelivered == before + 2  # this one, and the subscriber's own about it
    assert len(one.log.entries(Undeliverable)) < 10


def test_the_tree_itself_reports_up_and_down(tree: Make) -> None:
    one = tree(child("a")).up()
    assert one.log.expect(TreeUp).path == "root"
    one.system.stop()
    assert one.log.expect(TreeDown).reason == Shutdown()


def test_events_come_from_the_thread_on_which_they_happen(tree: Make) -> None:
    one = tree(child("a"))
    threads: list[Any] = []
    one.system.subscribe(lambda _: threads.append(threading.current_thread().name))
    one.up()
    assert set(threads) == {"root#1"}
