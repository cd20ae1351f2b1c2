"""Blocking work on a thread of its own, timers, and promises."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from bibd.supervision import LATER, Answer, AskTimeoutError, Context, Promise, UnansweredRequestError
from bibd.supervision.events import ChildDown, ChildStopping, Undeliverable
from bibd.supervision.reasons import Crashed, Shutdown
from bibd.supervision.testkit import settle
from tests.supervision.puppet import Defer, Do, Fetch, Stage, Tree, child, nothing

Make = Callable[..., Tree]


def keeping(into: list[Any], value: Any) -> Do:
    return Do(lambda _: into.append(value))


def test_the_result_of_a_job_comes_back_as_a_message_and_the_actor_answers_meanwhile(
    tree: Make, gate: threading.Event
) -> None:
    one = tree(child("a")).up()
    got: list[Any] = []

    def work(_: threading.Event) -> str:
        gate.wait(5)
        return threading.current_thread().name

    one.tell("a", lambda ctx: ctx.pipe(work, lambda result: keeping(got, result)))
    assert one.fetch("a", lambda _: "still here") == "still here"
    assert got == []
    gate.set()
    settle(one.system)
    assert got == ["root/a#1:job"]


def test_a_failing_job_becomes_the_message_of_failed(tree: Make) -> None:
    one = tree(child("a")).up()
    got: list[Any] = []

    def work(_: threading.Event) -> None:
        raise OSError("no space left")

    one.tell("a", lambda ctx: ctx.pipe(work, lambda _: Do(nothing), lambda error: keeping(got, str(error))))
    settle(one.system)
    assert got == ["no space left"]
    assert one.log.entries(ChildDown) == []


def test_a_failing_job_without_failed_crashes_the_actor_before_its_backlog(tree: Make) -> None:
    one = tree(child("a")).up()
    handled: list[Any] = []

    def work(_: threading.Event) -> None:
        raise OSError("no space left")

    def busy(ctx: Context) -> None:
        ctx.pipe(work, lambda _: Do(nothing))
        for job in ctx._cell._jobs:
            job.join(5)

    one.tell("a", busy)
    one.system.ref("a", Stage).tell(keeping(handled, 1))
    down = one.log.expect(ChildDown)
    assert isinstance(down.reason, Crashed)
    assert isinstance(down.reason.error, OSError)
    assert handled == []


def test_a_stop_sets_cancel_and_waits_for_the_job(tree: Make, gate: threading.Event) -> None:
    one = tree(child("a")).up()
    cancelled = threading.Event()
    ended = threading.Event()

    def work(cancel: threading.Event) -> None:
        cancel.wait(5)
        cancelled.set()
        gate.wait(5)
        ended.set()

    one.tell("a", lambda ctx: ctx.pipe(work, lambda _: Do(nothing)))
    one.fetch("a", nothing)
    one.system.request_stop()
    assert cancelled.wait(5)
    one.log.expect(ChildStopping)
    assert one.log.entries(ChildDown) == []
    gate.set()
    one.log.expect(ChildDown)
    assert ended.is_set()
    assert isinstance(one.system.wait(5), Shutdown)


def test_a_job_that_fails_while_its_actor_stops_is_not_silent(tree: Make) -> None:
    one = tree(child("a")).up()

    def work(cancel: threading.Event) -> None:
        cancel.wait(5)
        raise OSError("the disk died just now")

    one.tell("a", lambda ctx: ctx.pipe(work, lambda _: Do(nothing)))
    one.fetch("a", nothing)
    assert isinstance(one.system.stop().reason, Shutdown)
    lost = one.log.expect(Undeliverable)
    assert (lost.path, lost.message) == ("root/a", "OSError")


def test_a_job_that_on_stop_begins_is_waited_for(tree: Make, gate: threading.Event) -> None:
    ended = threading.Event()

    def work(_: threading.Event) -> None:
        gate.wait(5)
        ended.set()

    one = tree(child("a", stop=lambda ctx: ctx.pipe(work, lambda _: Do(nothing)))).up()
    one.system.request_stop()
    one.log.expect(ChildStopping)
    gate.set()
    one.log.expect(ChildDown)
    assert ended.is_set()


def test_a_job_may_ask(tree: Make) -> None:
    """Only handlers must not block; that is what a job is for."""
    one = tree(child("a"), child("b")).up()
    got: list[Any] = []

    def piped(ctx: Context) -> None:
        b = ctx.ref("b", Stage)
        ctx.pipe(lambda _: b.ask(Fetch(lambda ctx: ctx.path), timeout=5), lambda answer: keeping(got, answer))

    one.tell("a", piped)
    settle(one.system)
    assert got == ["root/b"]


def test_a_timer_sends_its_message_once_and_a_cancelled_one_never(tree: Make) -> None:
    one = tree(child("a")).up()
    got: list[Any] = []
    timers: list[Any] = []

    def schedule(ctx: Context) -> None:
        ctx.after(5, keeping(got, "five"))
        timers.append(ctx.after(6, keeping(got, "six")))

    one.tell("a", schedule)
    settle(one.system)
    one.clock.advance(5)
    settle(one.system)
    assert got == ["five"]
    timers[0].cancel()
    one.clock.advance(50)
    settle(one.system)
    assert got == ["five"]


def test_timers_end_with_their_actor(tree: Make) -> None:
    one = tree(child("a", start=lambda ctx: ctx.after(5, Do(nothing)), stop=lambda ctx: ctx.after(6, Do(nothing)))).up()
    one.system.stop()
    assert one.clock.pending() == []


# ── promises ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def promising(kept: list[Promise[str]]) -> Defer:
    def promise(ctx: Context, msg: Defer) -> Answer:
        kept.append(ctx.promise(msg))
        return LATER

    return Defer(promise)


def ask_in_a_thread(tree: Tree, msg: Defer) -> tuple[threading.Thread, list[Any]]:
    got: list[Any] = []

    def ask() -> None:
        try:
            got.append(tree.system.ref("a", Stage).ask(msg, timeout=5))
        except Exception as error:
            got.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread, got


def test_a_promise_is_kept_later_from_any_thread(tree: Make) -> None:
    one = tree(child("a")).up()
    kept: list[Promise[str]] = []
    thread, got = ask_in_a_thread(one, promising(kept))
    while not kept:
        one.fetch("a", nothing)
    assert got == []
    kept[0].keep("at last")
    kept[0].keep("too late")
    thread.join(5)
    assert got == ["at last"]


def test_a_promise_can_be_failed(tree: Make) -> None:
    one = tree(child("a")).up()
    kept: list[Promise[str]] = []
    thread, got = ask_in_a_thread(one, promising(kept))
    while not kept:
        one.fetch("a", nothing)
    error = OSError("could not")
    kept[0].fail(error)
    thread.join(5)
    assert got == [error]


def test_a_promise_kept_after_the_askers_timeout_harms_nobody(tree: Make) -> None:
    one = tree(child("a")).up()
    kept: list[Promise[str]] = []
    with pytest.raises(AskTimeoutError):
        one.system.ref("a", Stage).ask(promising(kept), timeout=0.01)
    while not kept:
        one.fetch("a", nothing)
    kept[0].keep("nobody hears")
    assert one.fetch("a", lambda _: "well") == "well"


def test_only_the_request_that_is_being_handled_can_be_promised_and_once(tree: Make) -> None:
    one = tree(child("a")).up()
    raised: list[Exception] = []

    def promise_twice(ctx: Context, msg: Defer) -> Answer:
        ctx.promise(msg).keep("once")
        try:
            ctx.promise(msg)
        except UnansweredRequestError as error:
            raised.append(error)
        return LATER

    assert one.system.ref("a", Stage).ask(Defer(promise_twice), timeout=5) == "once"

    def promise_another(ctx: Context, msg: Defer) -> Answer:
        try:
            ctx.promise(Defer(promise_twice))
        except UnansweredRequestError as error:
            raised.append(error)
        return msg.reply("itself")

    assert one.system.ref("a", Stage).ask(Defer(promise_another), timeout=5) == "itself"
    assert len(raised) == 2
