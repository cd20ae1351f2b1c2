"""1. Every exit path of a child emits exactly one Down."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pykka
import pytest

from bibd.supervision import (
    LATER,
    ActorCrashedError,
    ChildSpec,
    Context,
    StartFailedError,
    Supervisor,
)
from bibd.supervision.events import (
    ChildDown,
    ChildStarting,
)
from bibd.supervision.reasons import (
    Abandoned,
    Crashed,
    Finished,
    Shutdown,
)
from tests.supervision.puppet import (
    BoomError,
    Defer,
    Do,
    Puppet,
    Stage,
    Tree,
    child,
    downs,
    nothing,
    raising,
    signalling,
    stop_under_the_clock,
    waiting,
)

Make = Callable[..., Tree]


def told(act: Callable[[Context], object]) -> Callable[[Tree], None]:
    return lambda tree: tree.tell("a", act)


def pipe_boom(ctx: Context) -> None:
    def work(_: threading.Event) -> None:
        raise BoomError("in a job")

    ctx.pipe(work, lambda _: Do(nothing))


def pipe_exit(ctx: Context) -> None:
    def work(_: threading.Event) -> None:
        raise SystemExit(3)

    ctx.pipe(work, lambda _: Do(nothing))


def pipe_bad_then(ctx: Context) -> None:
    def then(_: None) -> Do:
        raise BoomError("in then")

    ctx.pipe(lambda _: None, then)


def pipe_bad_failed(ctx: Context) -> None:
    def work(_: threading.Event) -> None:
        raise BoomError("in a job")

    def failed(error: Exception) -> Do:
        raise BoomError("in failed") from error

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
    raise BoomError("when asked to stop")


AFTER_UP: dict[str, tuple[ChildSpec, Callable[[Tree], None], type]] = {
    "an exception in a handler": (child("a"), told(raising(BoomError())), Crashed),
    "SystemExit in a handler": (child("a"), told(raising(SystemExit(2))), Crashed),
    "KeyboardInterrupt in a handler": (child("a"), told(raising(KeyboardInterrupt())), Crashed),
    "an exception in a job": (child("a"), told(pipe_boom), Crashed),
    "SystemExit in a job": (child("a"), told(pipe_exit), Crashed),
    "an exception in a job's then": (child("a"), told(pipe_bad_then), Crashed),
    "an exception in a job's failed": (child("a"), told(pipe_bad_failed), Crashed),
    "a request left unanswered": (child("a"), ask_wrongly, Crashed),
    "LATER without a promise": (child("a"), forget_the_promise, Crashed),
    "leaving by itself": (child("a"), told(lambda ctx: ctx.leave()), Finished),
    "leaving with a raising on_stop": (child("a", stop=raising(BoomError())), told(lambda ctx: ctx.leave()), Crashed),
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
    raise BoomError("in the factory")


FAILED_STARTS: dict[str, tuple[ChildSpec, type]] = {
    "the factory raises": (ChildSpec("a", fail_in_the_factory), Crashed),
    "on_start raises": (child("a", start=raising(BoomError())), Crashed),
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
    reached = threading.Event()
    hang = signalling(reached, waiting(gate))

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
    if where == "on_stop":
        one.system.wait_ready(5)
    else:
        assert reached.wait(5)
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
            raise BoomError("a bug in the supervisor")

    one = tree(ChildSpec("s", lambda ctx: Fragile(ctx, [child("x"), child("y", after=["x"])])))
    one.system.start()
    with pytest.raises(StartFailedError):
        one.system.wait_ready(5)
    assert len(downs(one, "root/s/x")) == len(downs(one, "root/s")) == 1
