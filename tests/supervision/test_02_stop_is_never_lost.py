"""2. A stop is never lost: it overtakes backlog, is idempotent, works before ready, during backoff and mid-restart."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from bibd.supervision import (
    BlockingAskError,
    ChildSpec,
    Context,
    State,
    Strategy,
)
from bibd.supervision.events import (
    ChildAbandoned,
    ChildDown,
    ChildStarting,
    ChildStopping,
    ChildUp,
    Escalated,
    RestartScheduled,
)
from bibd.supervision.reasons import (
    ChildFailed,
    Reason,
    Shutdown,
)
from bibd.supervision.testkit import settle
from tests.supervision.puppet import (
    BoomError,
    Do,
    Puppet,
    Tree,
    child,
    nothing,
    raising,
    signalling,
)

Make = Callable[..., Tree]
REST = Strategy.REST_FOR_DEPENDENTS


def test_02_a_stop_overtakes_the_backlog(tree: Make, gate: threading.Event) -> None:
    one = tree(child("a")).up()
    handled: list[int] = []
    busy = threading.Event()
    one.tell("a", signalling(busy, lambda ctx: ctx.stop_requested.wait(5)))
    assert busy.wait(5)
    for number in range(1000):
        one.tell("a", lambda _, number=number: handled.append(number))  # type: ignore[misc]
    assert isinstance(one.system.stop().reason, Shutdown)
    assert handled == []
    assert one.system.runtime.undelivered == 1000


def test_02_a_stop_before_start_is_kept() -> None:
    one = Tree(child("a"))
    report = one.system.stop()
    assert isinstance(report.reason, Shutdown)
    one.system.start()
    assert isinstance(one.system.wait(5), Shutdown)
    assert one.log.entries(ChildStarting) == []
    assert one.system.status().state is State.STOPPED


def test_02_a_stop_is_idempotent_and_reports_the_same_each_time(tree: Make) -> None:
    one = tree(child("a")).up()
    first = one.system.stop()
    one.clock.advance(100)
    assert one.system.stop() == first


def test_02_a_stop_from_ten_threads_at_once_is_one_stop(tree: Make) -> None:
    one = tree(child("a"), child("b", after=["a"])).up()
    together = threading.Barrier(10)
    reports: list[Reason] = []

    def stop() -> None:
        together.wait(5)
        reports.append(one.system.stop().reason)

    threads = [threading.Thread(target=stop) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert reports == [Shutdown()] * 10
    assert one.log.order(ChildStopping) == one.log.order(ChildDown) == ["b", "a"]


def test_02_a_stop_works_before_ready(tree: Make) -> None:
    one = tree(child("a", late=True), child("b", after=["a"]))
    one.system.start()
    one.log.expect(ChildStarting)
    assert isinstance(one.system.stop().reason, Shutdown)
    assert one.log.order(ChildStarting) == ["a"]


def test_02_a_stop_works_while_the_factory_blocks(tree: Make, gate: threading.Event) -> None:
    def factory(ctx: Context) -> Puppet:
        ctx.stop_requested.wait(5)
        return Puppet(ctx)

    one = tree(ChildSpec("a", factory))
    one.system.start()
    one.log.expect(ChildStarting)
    assert isinstance(one.system.stop().reason, Shutdown)


def test_02_a_stop_works_during_backoff(tree: Make) -> None:
    one = tree(child("a"), backoff=None).up()
    one.tell("a", raising(BoomError()))
    one.log.expect(RestartScheduled)
    assert isinstance(one.system.stop().reason, Shutdown)
    one.clock.advance(100)
    assert one.log.order(ChildStarting) == ["a"]


def test_02_a_stop_works_mid_restart(tree: Make, gate: threading.Event) -> None:
    second = threading.Event()

    def start(ctx: Context) -> None:
        if ctx.generation == 2:
            second.set()
            ctx.stop_requested.wait(5)

    one = tree(child("a", start=start), child("b", after=["a"]), strategy=REST).up()
    one.tell("a", raising(BoomError()))
    one.log.expect(RestartScheduled)
    one.log.expect(ChildDown, lambda event: event.path == "root/b")
    settle(one.system)
    one.clock.advance(1)
    assert second.wait(5)
    assert isinstance(one.system.stop().reason, Shutdown)
    assert one.log.order(ChildDown) == ["a", "b", "a"]


def test_02_a_stop_between_making_and_running_a_childs_thread_is_kept(
    tree: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread of ``a`` begins only after its supervisor has been told to stop."""
    start = threading.Thread.start
    may_begin = threading.Event()

    def delayed(self: threading.Thread) -> None:
        if self.name == "root/a#1":
            run = self.run
            self.run = lambda: (may_begin.wait(5), run())[1]  # type: ignore[method-assign]
        start(self)

    monkeypatch.setattr(threading.Thread, "start", delayed)
    made: list[Puppet] = []

    def make(ctx: Context) -> Puppet:
        made.append(Puppet(ctx))
        return made[0]

    one = tree(ChildSpec("a", make))
    one.system.start()
    one.log.expect(ChildStarting)
    one.system.request_stop()
    one.log.expect(ChildStopping)
    may_begin.set()
    assert isinstance(one.system.wait(5), Shutdown)
    assert made == []


def test_02_a_stop_during_an_escalation_keeps_the_first_reason(tree: Make, gate: threading.Event) -> None:
    one = tree(child("a", restart="temporary"), child("b", stop=lambda _: gate.wait(5))).up()
    one.tell("a", raising(BoomError("first")))
    one.log.expect(Escalated)
    one.system.request_stop()
    gate.set()
    ended = one.system.wait(5)
    assert isinstance(ended, ChildFailed)
    assert "first" in str(ended)
    assert len(one.log.entries(Escalated)) == 1


def test_02_a_stop_from_a_handler_or_a_subscriber_is_kept_and_never_waits_for_itself(tree: Make) -> None:
    one = tree(child("a")).up()
    seen: list[BaseException] = []

    def stop(_: object) -> None:
        try:
            one.system.stop()
        except BlockingAskError as error:
            seen.append(error)

    one.tell("a", stop)
    assert isinstance(one.system.wait(5), Shutdown)
    (error,) = seen
    assert "root/a" in str(error)

    two = tree(child("a"))

    def stop_two(event: object) -> None:
        if isinstance(event, ChildUp):
            try:
                two.system.stop()
            except BlockingAskError as error:
                seen.append(error)

    two.system.subscribe(stop_two)
    two.system.start()
    assert isinstance(two.system.wait(5), Shutdown)
    assert len(seen) == 2


def test_02_a_stop_from_a_job_never_waits_for_itself(tree: Make) -> None:
    one = tree(child("a")).up()
    one.tell("a", lambda ctx: ctx.pipe(lambda _: one.system.stop(), lambda _: Do(nothing), lambda _: Do(nothing)))
    assert isinstance(one.system.wait(5), Shutdown)
    assert one.log.entries(ChildAbandoned) == []
