"""The twelve invariants of the kernel, by number. Trees here run under a ManualClock: nothing waits for time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pykka
import pytest
from tests.supervision.puppet import (
    Defer,
    Do,
    Fetch,
    Puppet,
    Stage,
    Tree,
    child,
    nest,
    nothing,
    once,
    raising,
    waiting,
)

from bibd.supervision import (
    LATER,
    ActorCrashedError,
    ActorDownError,
    ActorSystem,
    AskTimeoutError,
    BlockingAskError,
    ChildSpec,
    Context,
    InboxFullError,
    Intensity,
    StartFailedError,
    State,
    Strategy,
    Supervisor,
)
from bibd.supervision.events import (
    ChildAbandoned,
    ChildDown,
    ChildStarting,
    ChildStopping,
    ChildUp,
    Escalated,
    RestartScheduled,
    Undeliverable,
)
from bibd.supervision.reasons import (
    Abandoned,
    ChildFailed,
    Crashed,
    Finished,
    NotReady,
    Reason,
    RestartsExceeded,
    Shutdown,
)
from bibd.supervision.testkit import settle, start_stop_storm

Make = Callable[..., Tree]
REST = Strategy.REST_FOR_DEPENDENTS


def downs(tree: Tree, path: str = "root/a") -> list[ChildDown]:
    return [event for event in tree.log.entries(ChildDown) if event.path == path]


def stop_under_the_clock(tree: Tree, seconds: float = 60.0) -> Reason | None:
    """Stop a tree in which somebody may hang: move the clock until it is down."""
    tree.system.request_stop()
    deadline = time.monotonic() + 10
    while (reason := tree.system.wait(0.002)) is None and time.monotonic() < deadline:
        tree.clock.advance(0.5)
    return reason


# ── 1 ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Boom(Exception):
    """Somebody's bug."""


def told(act: Callable[[Context], object]) -> Callable[[Tree], None]:
    return lambda tree: tree.tell("a", act)


def pipe_boom(ctx: Context) -> None:
    def work(_: threading.Event) -> None:
        raise Boom("in a job")

    ctx.pipe(work, lambda _: Do(nothing))


def pipe_exit(ctx: Context) -> None:
    def work(_: threading.Event) -> None:
        raise SystemExit(3)

    ctx.pipe(work, lambda _: Do(nothing))


def pipe_bad_then(ctx: Context) -> None:
    def then(_: None) -> Do:
        raise Boom("in then")

    ctx.pipe(lambda _: None, then)


def pipe_bad_failed(ctx: Context) -> None:
    def work(_: threading.Event) -> None:
        raise Boom("in a job")

    def failed(error: Exception) -> Do:
        raise Boom("in failed") from error

    ctx.pipe(work, lambda _: Do(nothing), failed)


def ask_wrongly(tree: Tree) -> None:
    with pytest.raises(ActorCrashedError):
        tree.system.ref("a", Stage).ask(Defer(lambda _ctx, _msg: None), timeout=5)


def forget_the_promise(tree: Tree) -> None:
    with pytest.raises(ActorCrashedError):
        tree.system.ref("a", Stage).ask(Defer(lambda _ctx, _msg: LATER), timeout=5)


def pykka_stops_it(tree: Tree) -> None:
    (ref,) = [ref for ref in pykka.ActorRegistry.get_all() if getattr(ref._actor_weakref(), "path", "") == "root/a"]
    ref.stop(block=False)


def refuse_to_stop() -> bool:
    raise Boom("when asked to stop")


AFTER_UP: dict[str, tuple[ChildSpec, Callable[[Tree], None], type]] = {
    "an exception in a handler": (child("a"), told(raising(Boom())), Crashed),
    "SystemExit in a handler": (child("a"), told(raising(SystemExit(2))), Crashed),
    "KeyboardInterrupt in a handler": (child("a"), told(raising(KeyboardInterrupt())), Crashed),
    "an exception in a job": (child("a"), told(pipe_boom), Crashed),
    "SystemExit in a job": (child("a"), told(pipe_exit), Crashed),
    "an exception in a job's then": (child("a"), told(pipe_bad_then), Crashed),
    "an exception in a job's failed": (child("a"), told(pipe_bad_failed), Crashed),
    "a request left unanswered": (child("a"), ask_wrongly, Crashed),
    "LATER without a promise": (child("a"), forget_the_promise, Crashed),
    "leaving by itself": (child("a"), told(lambda ctx: ctx.leave()), Finished),
    "leaving with a raising on_stop": (child("a", stop=raising(Boom())), told(lambda ctx: ctx.leave()), Crashed),
    "a stop through pykka": (child("a"), pykka_stops_it, Shutdown),
    "a stop": (child("a"), lambda tree: tree.system.request_stop(), Shutdown),
    "a stop with a raising on_stop": (
        child("a", stop=raising(SystemExit())),
        lambda tree: tree.system.request_stop(),
        Crashed,
    ),
    "a stop refused by an exception": (
        child("a", asked=refuse_to_stop),
        lambda tree: tree.system.request_stop(),
        Crashed,
    ),
}


@pytest.mark.parametrize("way", AFTER_UP)
def test_01_every_exit_path_emits_exactly_one_down(tree: Make, way: str) -> None:
    spec, act, reason = AFTER_UP[way]
    one = tree(spec).up()
    act(one)
    one.log.expect(ChildDown)
    stop_under_the_clock(one)
    assert [event.generation for event in downs(one)] == list(range(1, len(one.log.entries(ChildStarting)) + 1))
    assert isinstance(downs(one)[0].reason, reason)


def fail_in_the_factory(_: Context) -> Puppet:
    raise Boom("in the factory")


FAILED_STARTS: dict[str, tuple[ChildSpec, type]] = {
    "the factory raises": (ChildSpec("a", fail_in_the_factory), Crashed),
    "on_start raises": (child("a", start=raising(Boom())), Crashed),
    "SystemExit in on_start": (child("a", start=raising(SystemExit(1))), Crashed),
    "it leaves at once": (child("a", start=lambda ctx: ctx.leave(), restart="temporary"), Finished),
}


@pytest.mark.parametrize("way", FAILED_STARTS)
def test_01_every_failing_start_emits_exactly_one_down(tree: Make, way: str) -> None:
    spec, reason = FAILED_STARTS[way]
    one = tree(spec)
    one.system.start()
    assert isinstance(one.log.expect(ChildDown).reason, reason)
    stop_under_the_clock(one)
    assert len(downs(one)) == len(one.log.entries(ChildStarting)) == 1


def test_01_a_child_that_never_gets_ready_emits_exactly_one_down(tree: Make) -> None:
    one = tree(child("a", late=True, ready_timeout=3))
    one.system.start()
    one.log.expect(ChildStarting)
    one.clock.advance(3)
    with pytest.raises(StartFailedError, match="not ready within 3 s"):
        one.system.wait_ready(5)
    assert len(downs(one)) == 1


@pytest.mark.parametrize("where", ["factory", "on_start", "receive", "on_stop", "job"])
def test_01_a_hung_child_emits_exactly_one_down_also_when_it_comes_back(
    tree: Make, gate: threading.Event, where: str
) -> None:
    hang = waiting(gate)

    def slow_factory(ctx: Context) -> Puppet:
        hang(ctx)
        return Puppet(ctx)

    spec = {
        "factory": ChildSpec("a", slow_factory),
        "on_start": child("a", start=hang),
        "receive": child("a"),
        "on_stop": child("a", stop=hang),
        "job": child("a", start=lambda ctx: ctx.pipe(lambda _: hang(ctx), lambda _: Do(nothing))),
    }[where]
    one = tree(spec)
    one.system.start()
    if where == "receive":
        one.system.wait_ready(5)
        one.tell("a", hang)
    assert isinstance(stop_under_the_clock(one), Shutdown)
    (down,) = downs(one)
    assert isinstance(down.reason, Abandoned)
    (cell_thread,) = [thread for thread in threading.enumerate() if thread.name == "root/a#1"]
    gate.set()
    cell_thread.join(5)
    assert len(downs(one)) == 1


def test_01_a_child_for_which_there_is_no_thread_emits_exactly_one_down(
    tree: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def no_thread_for_a(self: threading.Thread) -> None:
        if self.name.startswith("root/a#"):
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", no_thread_for_a)
    one = tree(child("a"))
    one.system.start()
    with pytest.raises(StartFailedError, match="can't start new thread"):
        one.system.wait_ready(5)
    assert len(downs(one)) == 1


def test_01_a_job_for_which_there_is_no_thread_crashes_its_actor(tree: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def no_thread_for_jobs(self: threading.Thread) -> None:
        if self.name.endswith(":job"):
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", no_thread_for_jobs)
    one = tree(child("a")).up()
    one.tell("a", pipe_boom)
    assert "can't start new thread" in str(one.log.expect(ChildDown).reason)
    stop_under_the_clock(one)
    assert len(downs(one)) == 1


def test_01_the_children_of_a_crashed_supervisor_emit_their_down_too(tree: Make) -> None:
    class Fragile(Supervisor):
        def child_up(self, name: str, generation: int) -> None:
            self._inbox.offer(Do(nothing))  # not one of its own messages: see receive

        def receive(self, msg: Any) -> Any:
            raise Boom("a bug in the supervisor")

    one = tree(ChildSpec("s", lambda ctx: Fragile(ctx, [child("x"), child("y", after=["x"])])))
    one.system.start()
    with pytest.raises(StartFailedError):
        one.system.wait_ready(5)
    assert len(downs(one, "root/s/x")) == len(downs(one, "root/s")) == 1


# ── 2 ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_02_a_stop_overtakes_the_backlog(tree: Make, gate: threading.Event) -> None:
    one = tree(child("a")).up()
    handled: list[int] = []
    one.tell("a", lambda ctx: ctx.stop_requested.wait(5))
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
    one.tell("a", raising(Boom()))
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
    one.tell("a", raising(Boom()))
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
    made: list[str] = []
    one = tree(ChildSpec("a", lambda ctx: (made.append("a"), Puppet(ctx))[1]))
    one.system.start()
    one.log.expect(ChildStarting)
    one.system.request_stop()
    one.log.expect(ChildStopping)
    may_begin.set()
    assert isinstance(one.system.wait(5), Shutdown)
    assert made == []


def test_02_a_stop_during_an_escalation_keeps_the_first_reason(tree: Make, gate: threading.Event) -> None:
    one = tree(child("a", restart="temporary"), child("b", stop=lambda _: gate.wait(5))).up()
    one.tell("a", raising(Boom("first")))
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
    two.system.subscribe(lambda event: stop_two(event))

    def stop_two(event: object) -> None:
        if isinstance(event, ChildUp):
            try:
                two.system.stop()
            except BlockingAskError as error:
                seen.append(error)

    two.system.start()
    assert isinstance(two.system.wait(5), Shutdown)
    assert len(seen) == 2


def test_02_a_stop_from_a_job_never_waits_for_itself(tree: Make) -> None:
    one = tree(child("a")).up()
    one.tell("a", lambda ctx: ctx.pipe(lambda _: one.system.stop(), lambda _: Do(nothing), lambda _: Do(nothing)))
    assert isinstance(one.system.wait(5), Shutdown)
    assert one.log.entries(ChildAbandoned) == []


# ── 3 ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_03_stop_order_is_reverse_topological_whatever_restarts_happened(tree: Make) -> None:
    one = tree(child("a"), child("b", after=["a"]), child("c", after=["b"]), child("d", after=["a"])).up()
    for name in ("a", "c", "b", "a"):
        seen = len(one.log.entries(ChildUp))
        one.tell(name, raising(Boom()))
        one.log.expect(RestartScheduled, lambda event, name=name: event.path.endswith(name))  # type: ignore[misc]
        settle(one.system)
        one.clock.advance(8)
        one.log.expect(ChildUp, count=seen + 1)
    fallen = len(one.log.entries(ChildDown))
    assert isinstance(one.system.stop().reason, Shutdown)
    order = one.log.order(ChildDown)[fallen:]
    assert sorted(order) == ["a", "b", "c", "d"]
    assert order.index("c") < order.index("b") < order.index("a")
    assert order[-1] == "a"
    assert order[fallen:] == [] or one.log.order(ChildStopping)[-1] == "a"


def test_03_nobody_is_asked_to_stop_before_all_who_need_it_are_down(tree: Make, gate: threading.Event) -> None:
    one = tree(child("a"), child("b", after=["a"], stop=lambda _: gate.wait(5)), child("c", after=["a"])).up()
    one.system.request_stop()
    one.log.expect(ChildDown, lambda event: event.path == "root/c")
    assert sorted(one.log.order(ChildStopping)) == ["b", "c"]
    gate.set()
    one.log.expect(ChildDown, lambda event: event.path == "root/a")
    assert one.log.order(ChildStopping)[-1] == "a"


# ── 4 ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_04_a_hung_child_is_abandoned_with_its_stack_and_its_siblings_still_stop(
    tree: Make, gate: threading.Event
) -> None:
    def a_recognisable_place(_: Context) -> None:
        gate.wait(30)

    one = tree(
        child("a"), child("b", after=["a"], stop_timeout=2), child("c", after=["b"]), child("d", after=["a"])
    ).up()
    one.tell("b", a_recognisable_place)
    one.system.request_stop()
    one.log.expect(ChildDown, lambda event: event.path == "root/c")
    one.log.expect(ChildStopping, lambda event: event.path == "root/b")
    one.clock.advance(1.999)
    settle_but_for(one, "root/b")
    assert one.log.entries(ChildAbandoned) == []
    one.clock.advance(0.001)
    assert "a_recognisable_place" in one.log.expect(ChildAbandoned).stack
    assert isinstance(one.system.wait(5), Shutdown)
    report = one.system.stop()
    assert report.abandoned == ("root/b",)
    assert one.log.order(ChildDown)[-2:] == ["b", "a"]


def settle_but_for(tree: Tree, busy: str) -> None:
    with pytest.raises(AssertionError, match=busy):
        settle(tree.system, timeout=0.05)


def test_04_a_hung_job_is_in_the_reported_stack(tree: Make, gate: threading.Event) -> None:
    def a_job_that_hangs(_: threading.Event) -> None:
        gate.wait(30)

    one = tree(child("a", start=lambda ctx: ctx.pipe(a_job_that_hangs, lambda _: Do(nothing)))).up()
    stop_under_the_clock(one)
    assert "a_job_that_hangs" in one.log.expect(ChildAbandoned).stack


def test_04_an_exclusive_child_is_never_respawned_beside_its_abandoned_thread(
    tree: Make, gate: threading.Event
) -> None:
    one = tree(child("a"), child("b", after=["a"], stop=waiting(gate), stop_timeout=2), strategy=REST).up()
    one.tell("a", raising(Boom()))
    one.log.expect(ChildStopping, lambda event: event.path == "root/b")
    one.clock.advance(2)
    ended = one.system.wait(5)
    assert isinstance(ended, ChildFailed)
    assert ended.child == "b"
    assert isinstance(ended.reason, Abandoned)
    assert one.log.order(ChildStarting) == ["a", "b"]
    assert one.system.stop().abandoned == ("root/b",)


def test_04_a_shareable_child_is_respawned_and_its_former_self_changes_nothing(
    tree: Make, gate: threading.Event
) -> None:
    """The abandoned thread comes back while its successor waits in backoff, the worst moment."""
    one = tree(
        child("a", stop=once(waiting(gate)), exclusive=False, stop_timeout=2), intensity=Intensity(9, 60)
    ).up()
    one.tell("a", raising(Boom()))
    settle_but_for(one, "root/a")
    one.clock.advance(2)
    one.log.expect(RestartScheduled)
    (former,) = [thread for thread in threading.enumerate() if thread.name == "root/a#1"]
    gate.set()
    former.join(5)
    settle(one.system)
    assert one.system.status().find("a").state is State.BACKOFF
    one.clock.advance(1)
    one.log.expect(ChildUp, count=2)
    assert [event.generation for event in downs(one)] == [1]
    assert len(one.log.entries(RestartScheduled)) == 1
    assert one.fetch("a", lambda ctx: ctx.generation) == 2


@pytest.mark.parametrize("how", ["escalation", "rest_for_dependents"])
def test_04_a_supervisor_that_left_an_exclusive_child_hanging_is_not_respawned_either(
    tree: Make, gate: threading.Event, how: str
) -> None:
    """Two levels: the new supervisor would start a second ``x`` beside the abandoned thread of the first."""
    inner = nest("s", child("x", stop=waiting(gate), stop_timeout=2), child("y", restart="temporary"), after=["a"])
    one = tree(child("a"), inner, strategy=REST).up()
    if how == "escalation":
        y = supervisor_of(one, "s").scope.find("y")
        y.inbox.offer(Do(raising(Boom())))
    else:
        one.tell("a", raising(Boom()))
    one.log.expect(ChildStopping, lambda event: event.path == "root/s/x")
    one.clock.advance(10)
    assert isinstance(one.system.wait(5), ChildFailed)
    one.clock.advance(100)
    assert [event.path for event in one.log.entries(ChildStarting)].count("root/s/x") == 1


def supervisor_of(tree: Tree, name: str) -> Supervisor:
    (cell,) = [cell for cell in tree.system.runtime.cells if cell.name == name]
    assert isinstance(cell.actor, Supervisor)
    return cell.actor


def test_04_a_child_that_just_made_it_is_not_abandoned(tree: Make, gate: threading.Event) -> None:
    """Its Down is on its way when the stop timeout fires: it ended, so it is not hung."""
    one = tree(child("a", stop_timeout=2)).up()
    root = one.system._supervisor
    blocked = threading.Event()
    go_on = threading.Event()

    def block(event: object) -> None:
        if isinstance(event, ChildStopping):
            blocked.set()
            go_on.wait(5)

    one.system.subscribe(block)
    (cell,) = [cell for cell in one.system.runtime.cells if cell.name == "a"]
    one.system.request_stop()
    assert blocked.wait(5)
    one.clock.advance(2)  # the timeout is in the supervisor's inbox first …
    cell.request_stop()
    assert cell.thread is not None
    cell.thread.join(5)  # … and then the Down
    go_on.set()
    assert isinstance(one.system.wait(5), Shutdown)
    assert root is not None
    assert one.log.entries(ChildAbandoned) == []
    assert isinstance(downs(one)[0].reason, Shutdown)


# ── 5 ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_05_messages_of_a_stale_generation_change_nothing(tree: Make, gate: threading.Event) -> None:
    seen: list[int] = []
    refs: list[Any] = []

    def start(ctx: Context) -> None:
        refs.append(ctx.me(Stage))
        ctx.after(50, Do(lambda ctx: seen.append(ctx.generation)))
        if ctx.generation == 1:
            ctx.pipe(lambda _: gate.wait(30), lambda _: Do(lambda ctx: seen.append(ctx.generation)))

    one = tree(child("a", start=start, exclusive=False, stop_timeout=2)).up()
    one.tell("a", raising(Boom()))
    settle_but_for(one, "root/a")
    one.clock.advance(2)  # generation 1 is abandoned: its job hangs
    one.log.expect(RestartScheduled)
    one.clock.advance(1)
    one.log.expect(ChildUp, count=2)
    before = one.system.runtime.undelivered
    refs[0].tell(Do(lambda ctx: seen.append(ctx.generation)))
    gate.set()  # now the job of generation 1 delivers
    one.log.expect(Undeliverable, lambda event: event.why == "stale")
    one.clock.advance(49)
    settle(one.system)
    assert seen == []
    assert one.system.runtime.undelivered == before + 2
    one.clock.advance(1)
    settle(one.system)
    assert seen == [2]


def test_05_the_supervisor_ignores_reports_of_a_stale_generation(tree: Make) -> None:
    one = tree(child("a")).up()
    one.tell("a", raising(Boom()))
    one.log.expect(RestartScheduled)
    one.clock.advance(1)
    one.log.expect(ChildUp, count=2)
    root = supervisor_of(one, "root")
    root.child_down("a", 1, Crashed(Boom("late")))
    root.child_ending("a", 1)
    root.child_up("a", 1)
    settle(one.system)
    assert one.system.status().find("a").state is State.UP
    assert len(downs(one)) == 1


# ── 6 ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_06_exactly_n_restarts_are_allowed_and_one_more_is_not(tree: Make, limit: int) -> None:
    one = tree(child("other"), child("a"), intensity=Intensity(limit, 1000)).up()
    for number in range(limit):
        one.tell("a", raising(Boom()))
        one.log.expect(RestartScheduled, count=number + 1)
        settle(one.system)
        one.clock.advance(30)
        one.log.expect(ChildUp, lambda event: event.path == "root/a", count=number + 2)
    settle(one.system)
    assert one.log.entries(Escalated) == []
    one.tell("a", raising(Boom("the last straw")))
    ended = one.system.wait(5)
    assert isinstance(ended, RestartsExceeded)
    assert "the last straw" in str(ended)
    assert len(one.log.entries(RestartScheduled)) == limit
    assert one.log.order(ChildDown)[-1] == "other"
    assert isinstance(one.log.entries(ChildDown)[-1].reason, Shutdown)


def test_06_restarts_longer_ago_than_the_period_do_not_count(tree: Make) -> None:
    one = tree(child("a"), intensity=Intensity(1, 10)).up()
    for number in range(5):
        one.tell("a", raising(Boom()))
        one.log.expect(RestartScheduled, count=number + 1)
        one.clock.advance(10)
        one.log.expect(ChildUp, count=number + 2)
    assert one.log.entries(Escalated) == []


def test_06_a_child_that_falls_while_it_waits_for_its_stop_is_counted(tree: Make, gate: threading.Event) -> None:
    """``b`` is condemned by ``a`` but not asked yet, since ``c`` still stops; then it falls by itself."""
    one = tree(
        child("a"),
        child("b", after=["a"]),
        child("c", after=["b"], stop=once(lambda _: gate.wait(5))),
        strategy=REST,
        intensity=Intensity(2, 1000),
    ).up()
    one.tell("a", raising(Boom()))
    one.log.expect(ChildStopping, lambda event: event.path == "root/c")
    one.tell("b", raising(Boom("b's own")))
    one.log.expect(RestartScheduled, lambda event: event.path == "root/b")
    gate.set()
    one.log.expect(ChildDown, lambda event: event.path == "root/c")
    settle(one.system)
    one.clock.advance(1)
    one.log.expect(ChildUp, lambda event: event.path == "root/c", count=2)
    assert one.log.order(ChildUp) == ["a", "b", "c", "a", "b", "c"]
    assert one.system.status().find("b").last_error == "Boom: b's own"


# ── 7 ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_07_dependents_start_only_after_up(tree: Make) -> None:
    one = tree(child("a", late=True), child("b", after=["a"]))
    one.system.start()
    one.log.expect(ChildStarting)
    one.fetch("a", nothing)  # it has started, and answers, and is not ready
    settle(one.system)
    assert one.log.order(ChildStarting) == ["a"]
    assert not one.system.up
    one.tell("a", lambda ctx: ctx.ready())
    one.system.wait_ready(5)
    assert one.log.order(ChildUp) == ["a", "b"]
    assert one.system.up


def test_07_independent_branches_start_side_by_side(tree: Make) -> None:
    both = threading.Barrier(2)
    one = tree(child("a", start=lambda _: both.wait(5)), child("b", start=lambda _: both.wait(5))).up()
    assert sorted(one.log.order(ChildUp)) == ["a", "b"]


def test_07_a_failed_start_stops_what_had_started_in_reverse(tree: Make) -> None:
    one = tree(child("a"), child("b", after=["a"]), child("c", after=["b"], start=raising(Boom("no disk"))))
    one.system.start()
    with pytest.raises(StartFailedError, match="no disk") as caught:
        one.system.wait_ready(5)
    assert isinstance(caught.value.__cause__, Boom)
    assert one.log.order(ChildDown) == ["c", "b", "a"]
    assert one.system.status().state is State.FAILED


def test_07_a_dependent_of_a_child_that_is_gone_for_good_does_not_wait_for_ever(tree: Make) -> None:
    """``b`` is in backoff when ``a``, which it needs, is given up."""
    one = tree(
        child("a", significant=False, restart="temporary"), child("b", after=["a"]), child("c", significant=False)
    ).up()
    one.tell("b", raising(Boom()))
    one.log.expect(RestartScheduled)
    one.tell("a", raising(Boom()))
    one.log.expect(ChildDown, lambda event: event.path == "root/a")
    settle(one.system)
    one.clock.advance(1)
    ended = one.system.wait(5)
    assert str(ended) == "b: a, which it needs, failed"


# ── 8 ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_08_total_stop_time_is_within_the_declared_budget_though_all_hang(tree: Make, gate: threading.Event) -> None:
    hang = waiting(gate)
    one = tree(
        child("a", stop=hang, stop_timeout=1),
        child("b", after=["a"], stop=hang, stop_timeout=2),
        child("c", after=["b"], stop=hang, stop_timeout=3),
        child("d", after=["a"], stop=hang, stop_timeout=4),
    ).up()
    assert one.system.stop_budget == 6
    began = one.clock.monotonic()
    one.system.request_stop()
    for name, seconds in (("c", 3), ("b", 2), ("a", 1)):
        one.log.expect(ChildStopping, lambda event, name=name: event.path.endswith(name))  # type: ignore[misc]
        if name == "a":
            one.log.expect(ChildDown, lambda event: event.path == "root/d")
        one.clock.advance(seconds)
        one.log.expect(ChildDown, lambda event, name=name: event.path.endswith(name))  # type: ignore[misc]
    assert isinstance(one.system.wait(5), Shutdown)
    assert one.clock.monotonic() - began <= one.system.stop_budget
    assert one.system.stop().seconds <= one.system.stop_budget


def test_08_the_budget_holds_on_a_real_clock_two_supervisors_deep(gate: threading.Event) -> None:
    hang = waiting(gate)
    innermost = nest("t", child("x", stop=hang), child("y", after=["x"], stop=hang), stop_timeout=0.3)
    system = ActorSystem([nest("s", innermost, stop_timeout=0.4)])
    system.start()
    system.wait_ready(5)
    began = time.monotonic()
    report = system.stop()
    assert time.monotonic() - began < system.stop_budget + 0.3  # what two busy cores may add
    assert set(report.abandoned) == {"root/s/t/x", "root/s/t/y"}  # the supervisors themselves were in time


def test_08_a_stop_in_a_hurry_shares_the_time_so_that_one_hung_child_does_not_take_it_all(
    gate: threading.Event,
) -> None:
    """The hung child would use up all of the second; the others, asked after it, must still get their share."""
    stopped: list[str] = []

    def note(name: str) -> Callable[[Context], None]:
        def act(ctx: Context) -> None:
            threading.Event().wait(0.02)
            stopped.append(name)

        return act

    system = ActorSystem(
        [
            child("a", stop=note("a")),
            child("b", after=["a"], stop=note("b")),
            child("c", after=["b"], stop=waiting(gate)),
        ]
    )
    system.start()
    system.wait_ready(5)
    report = system.stop(timeout=1)
    assert report.seconds < 1
    assert report.abandoned == ("root/c",)
    assert stopped == ["b", "a"]


def test_08_a_second_stop_may_shorten_the_first_and_never_prolongs_it(tree: Make, gate: threading.Event) -> None:
    one = tree(child("a", stop=waiting(gate), stop_timeout=10)).up()
    one.system.request_stop()
    one.log.expect(ChildStopping)
    one.clock.advance(8)
    one.system.request_stop(1000)
    settle_but_for(one, "root/a")
    one.clock.advance(2)
    assert isinstance(one.system.wait(5), Shutdown)

    two = tree(child("a", stop=waiting(gate), stop_timeout=1000)).up()
    two.system.request_stop()
    two.log.expect(ChildStopping)
    two.system.request_stop(1)
    settle_but_for(two, "root/a")
    two.clock.advance(1)
    assert isinstance(two.system.wait(5), Shutdown)


# ── 9 ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_09_every_ask_has_a_timeout(tree: Make, gate: threading.Event) -> None:
    one = tree(child("a")).up()
    ref = one.system.ref("a", Stage)
    with pytest.raises(TypeError, match="timeout"):
        ref.ask(Fetch(nothing))  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    one.tell("a", waiting(gate))
    for timeout in (0.01, 0, -1):
        with pytest.raises(AskTimeoutError, match="root/a did not answer Fetch within"):
            ref.ask(Fetch(nothing), timeout=timeout)


def test_09_a_blocking_ask_in_a_handler_raises_at_once_and_names_both(tree: Make) -> None:
    one = tree(child("a"), child("b")).up()

    def ask_a_sibling(ctx: Context) -> str:
        with pytest.raises(BlockingAskError) as caught:
            ctx.ref("b", Stage).ask(Fetch(nothing), timeout=5)
        return str(caught.value)

    assert "root/a" in one.fetch("a", ask_a_sibling)
    assert "root/b" in one.fetch("a", ask_a_sibling)

    def ask_itself(ctx: Context) -> str:
        with pytest.raises(BlockingAskError) as caught:
            ctx.me(Stage).ask(Fetch(nothing), timeout=5)
        return str(caught.value)

    assert "root/a asked root/a" in one.fetch("a", ask_itself)


def test_09_ones_own_child_may_be_asked_from_a_handler(tree: Make) -> None:
    """On the supervisor's own thread, which is where an event of its children is seen."""
    one = tree(nest("s", child("x")))
    answers: list[Any] = []

    def ask_the_child(event: object) -> None:
        if isinstance(event, ChildUp) and event.path == "root/s/x":
            x = supervisor_of(one, "s")._ctx
            assert x.path == "root/s"
            scope = supervisor_of(one, "s").scope
            answers.append(typed_ref(scope.find("x")).ask(Fetch(lambda ctx: ctx.path), timeout=5))

    one.system.subscribe(ask_the_child)
    one.up()
    settle(one.system)
    assert answers == ["root/s/x"]


def typed_ref(address: Any) -> Any:
    from bibd.supervision.ref import Ref  # noqa: PLC0415

    return Ref[Stage](address)


# ── 10 ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_10_no_ask_stays_unanswered_after_the_callees_down(tree: Make, gate: threading.Event) -> None:
    """Fifty askers against an actor that falls under them: each is answered or told, none runs into its timeout."""
    one = tree(child("a", restart="temporary", significant=False)).up()
    together = threading.Barrier(51)
    outcomes: list[object] = []

    def ask() -> None:
        together.wait(5)
        try:
            for _ in range(100):
                one.system.ref("a", Stage).ask(Fetch(nothing), timeout=10)
        except ActorDownError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    together.wait(5)
    one.tell("a", raising(Boom()))
    for thread in threads:
        thread.join(8)
    assert not any(thread.is_alive() for thread in threads)
    assert all(isinstance(outcome, ActorDownError) for outcome in outcomes)


@pytest.mark.parametrize("end", ["crash", "stop", "abandoned"])
def test_10_a_broken_promise_and_a_waiting_request_are_answered(
    tree: Make, gate: threading.Event, end: str
) -> None:
    one = tree(child("a", stop_timeout=1)).up()
    raised: list[type] = []
    asked = threading.Semaphore(0)

    def promise(ctx: Context, msg: Defer) -> Any:
        ctx.promise(msg)
        asked.release()
        return LATER

    def busy(ctx: Context) -> None:
        asked.release()
        (waiting(gate) if end == "abandoned" else lambda ctx: ctx.stop_requested.wait(5) if end == "stop" else gate.wait(5))(ctx)
        if end == "crash":
            raise Boom

    def ask(msg: Any) -> None:
        try:
            one.system.ref("a", Stage).ask(msg, timeout=20)
        except Exception as error:
            raised.append(type(error))

    threads = [threading.Thread(target=ask, args=(msg,)) for msg in (Defer(promise), Fetch(busy), Fetch(nothing))]
    for thread in threads[:2]:
        thread.start()
        assert asked.acquire(timeout=5)
    threads[2].start()
    (cell,) = [cell for cell in one.system.runtime.cells if cell.name == "a"]
    while not len(cell.inbox):
        threading.Event().wait(0.001)
    match end:
        case "crash":
            gate.set()
        case "stop":
            one.system.request_stop()
        case _:
            one.system.request_stop()
            one.log.expect(ChildStopping)
            one.clock.advance(1)
    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)
    expected = {
        "crash": [ActorCrashedError, ActorDownError, ActorDownError],
        "stop": [ActorDownError, ActorDownError],  # the busy one had time to answer
        "abandoned": [ActorDownError, ActorDownError, ActorDownError],
    }[end]
    assert sorted(raised, key=str) == sorted(expected, key=str)


def test_10_undeliverable_messages_are_counted_and_published(tree: Make, gate: threading.Event) -> None:
    one = tree(child("a", inbox_limit=2, restart="temporary", significant=False)).up()
    started = threading.Event()
    one.tell("a", lambda ctx: (started.set(), gate.wait(5)))
    assert started.wait(5)
    for _ in range(3):
        one.tell("a", nothing)
    with pytest.raises(InboxFullError, match="root/a is full"):
        one.fetch("a", nothing)
    assert [event.why for event in one.log.entries(Undeliverable)] == ["full", "full"]
    gate.set()
    settle(one.system)
    one.tell("a", raising(Boom()))
    settle(one.system)
    one.tell("a", nothing)
    with pytest.raises(ActorDownError, match="root/a is not running"):
        one.fetch("a", nothing)
    assert [event.why for event in one.log.entries(Undeliverable)] == ["full", "full", "closed", "closed"]
    assert one.system.runtime.undelivered == 4


def test_10_the_supervisors_own_messages_are_nobodys_undeliverable_ones(tree: Make) -> None:
    one = tree(*(child(name) for name in "abcdefgh")).up()
    one.system.stop()
    assert one.log.entries(Undeliverable) == []


# ── 11 ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_11_start_stop_storms_leave_nothing_behind() -> None:
    def make() -> ActorSystem:
        return ActorSystem([child("a"), child("b", after=["a"]), nest("s", child("x"), after=["a"])])

    assert not start_stop_storm(make, threads=10, rounds=50)


# ── 12 ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_12_a_refusal_is_a_typed_reply_and_a_crash_is_an_exception(tree: Make) -> None:
    one = tree(child("a")).up()
    assert one.fetch("a", lambda _: "refused: no such backup") == "refused: no such backup"
    assert one.log.entries(ChildDown) == []
    with pytest.raises(ActorCrashedError, match="root/a crashed over Fetch") as caught:
        one.fetch("a", raising(Boom("a bug")))
    assert isinstance(caught.value.__cause__, Boom)
    down = one.log.expect(ChildDown)
    assert isinstance(down.reason, Crashed)
    assert down.reason.error is caught.value.__cause__


def test_12_a_late_start_says_why(tree: Make) -> None:
    one = tree(child("a", late=True))
    one.system.start()
    with pytest.raises(StartFailedError, match=r"not ready within 0\.01 s"):
        one.system.wait_ready(0.01)
    assert NotReady(3).seconds == 3
