"""The invariants on random trees with random failures and random stop moments, read from the event log alone."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bibd.supervision import ChildSpec, Context, Graph, Intensity, SpecError, Strategy, Supervisor
from bibd.supervision.events import (
    ChildDown,
    ChildGone,
    ChildStarting,
    ChildStopping,
    ChildUp,
    Escalated,
    Event,
    RestartScheduled,
)
from bibd.supervision.reasons import Abandoned, Finished, RestartsExceeded
from bibd.supervision.testkit import settle
from tests.supervision.puppet import Do, Tree, child, raising, waiting

NAMES = "abcdef"
Trouble: TypeAlias = Literal["none", "bad start", "second start bad", "hangs at stop", "bad stop", "never ready"]
Drawn: TypeAlias = tuple[str, tuple[str, ...], str, bool, bool, Trouble]
"""(name, after, restart, significant, exclusive, trouble) of one child."""


@dataclass(frozen=True)
class Plan:
    """A tree and its troubles, as hypothesis draws them."""

    specs: tuple[Drawn, ...]
    strategy: Strategy
    limit: int
    moves: tuple[tuple[str, Any, bool], ...]
    """(crash | leave | advance, whom or seconds, settle afterwards?) until the stop."""
    patient: bool
    """Wait for the start before the first move."""


# Most children are well: a tree full of trouble ends before anything interesting happens.
TROUBLES: list[Trouble] = [
    "none",
    "none",
    "none",
    "none",
    "none",
    "second start bad",
    "hangs at stop",
    "bad stop",
    "bad start",
    "never ready",
]


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    names = NAMES[: draw(st.integers(1, len(NAMES)))]
    specs: list[Drawn] = [
        (
            name,
            tuple(sorted(draw(st.sets(st.sampled_from(names[:index]), max_size=2)))) if index else (),
            draw(st.sampled_from(["permanent", "permanent", "transient", "temporary"])),
            draw(st.sampled_from([True, True, False])),
            draw(st.booleans()),
            draw(st.sampled_from(TROUBLES)),
        )
        for index, name in enumerate(names)
    ]
    move = st.one_of(
        st.tuples(st.just("crash"), st.sampled_from(names), st.booleans()),
        st.tuples(st.just("leave"), st.sampled_from(names), st.booleans()),
        st.tuples(st.just("advance"), st.sampled_from([0.25, 1.0, 5.0, 20.0]), st.booleans()),
    )
    return Plan(
        specs=tuple(specs),
        strategy=draw(st.sampled_from(Strategy)),
        limit=draw(st.integers(0, 4)),
        moves=tuple(draw(st.lists(move, max_size=12))),
        patient=draw(st.sampled_from([True, True, False])),
    )


def build(plan: Plan, gate: threading.Event, *, nested: bool = False) -> Tree:
    def second_start(ctx: Context) -> None:
        if ctx.generation == 2:
            raise OSError("only the second start fails")

    def spec(
        name: str, after: tuple[str, ...], restart: Any, significant: bool, exclusive: bool, trouble: Trouble
    ) -> ChildSpec:
        options: dict[Trouble, dict[str, Any]] = {
            "none": {},
            "bad start": {"start": raising(OSError("no start"))},
            "second start bad": {"start": second_start},
            "hangs at stop": {"stop": waiting(gate)},
            "bad stop": {"stop": raising(OSError("no stop"))},
            "never ready": {"late": True},
        }
        return child(
            name, after=after, restart=restart, significant=significant, exclusive=exclusive,
            ready_timeout=10, stop_timeout=5, **options[trouble],
        )  # fmt: skip

    specs = [spec(*one) for one in plan.specs]
    intensity = Intensity(plan.limit, 60)
    if not nested:
        return Tree(*specs, strategy=plan.strategy, intensity=intensity)
    budget = Graph(specs).stop_budget()
    supervisor = ChildSpec(
        "s",
        lambda ctx: Supervisor(ctx, specs, strategy=plan.strategy, intensity=intensity),
        ready_timeout=1000,
        stop_timeout=budget + 1,
    )
    return Tree(supervisor, intensity=Intensity(1, 60))


def run(tree: Tree, plan: Plan) -> None:
    tree.system.start()
    if plan.patient:
        calm_down(tree, plan)
    for what, argument, calm in plan.moves:
        match what:
            case "crash":
                tell(tree, argument, Do(raising(RuntimeError("told to"))))
            case "leave":
                tell(tree, argument, Do(lambda ctx: ctx.leave()))
            case _:
                tree.clock.advance(argument)
        if calm:
            calm_down(tree, plan)
    tree.system.request_stop()
    deadline = time.monotonic() + 20
    calm_down(tree, plan)
    while tree.system.wait(0) is None:
        assert time.monotonic() < deadline, "the stop was lost"
        tree.clock.advance(1.0)
        calm_down(tree, plan)


def tell(tree: Tree, name: str, msg: Do) -> None:
    """To the child of that name, at whatever depth, if it lives just now."""
    for cell in tuple(tree.system.runtime.cells):
        if cell.name == name:
            cell.inbox.offer(msg)


def calm_down(tree: Tree, plan: Plan) -> None:
    hung = [name for name, *_, trouble in plan.specs if trouble == "hangs at stop"]
    settle(tree.system, but_for=[*(f"root/{name}" for name in hung), *(f"root/s/{name}" for name in hung)])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plan=plans())
def test_random_trees_keep_the_invariants(plan: Plan) -> None:
    gate = threading.Event()
    tree = build(plan, gate)
    try:
        run(tree, plan)
        every = tree.log.entries(Event)
        specs = {
            name: (after, restart, significant, exclusive)
            for name, after, restart, significant, exclusive, _ in plan.specs
        }
        one_down_per_starting(every)
        starts_only_after_needs_are_up(every, {name: spec[0] for name, spec in specs.items()})
        stops_in_reverse(every, {name: spec[0] for name, spec in specs.items()}, plan.strategy)
        never_two_of_an_exclusive_child(every, {name for name, spec in specs.items() if spec[3]})
        restart_limit_is_exact(every, plan.limit, {name for name, spec in specs.items() if spec[2]})
        assert tree.system.stop().seconds <= tree.system.stop_budget
    finally:
        gate.set()
    nothing_lives(tree)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plan=plans())
def test_random_trees_below_another_supervisor_keep_the_invariants(plan: Plan) -> None:
    """The supervisor in between is restarted once by the root, and then given up."""
    gate = threading.Event()
    tree = build(plan, gate, nested=True)
    try:
        run(tree, plan)
        every = tree.log.entries(Event)
        # Generations count from 1 again below a restarted supervisor, so they are told apart by their number only.
        started = Counter((event.path, event.generation) for event in every if isinstance(event, ChildStarting))
        downs = Counter((event.path, event.generation) for event in every if isinstance(event, ChildDown))
        assert started == downs
        below = [event for event in every if event.path.startswith("root/s/")]
        stops_in_reverse(below, {name: after for name, after, *_ in plan.specs}, plan.strategy)
        never_two_of_an_exclusive_child(below, {name for name, _, _, _, exclusive, _ in plan.specs if exclusive})
        assert tree.system.stop().seconds <= tree.system.stop_budget
        assert "root/s" not in tree.system.stop().abandoned
    finally:
        gate.set()
    nothing_lives(tree)


def named(event: Event) -> str:
    return event.path.rsplit("/", 1)[-1]


def one_down_per_starting(every: list[Event]) -> None:
    started = [(event.path, event.generation) for event in every if isinstance(event, ChildStarting)]
    downs = [(event.path, event.generation) for event in every if isinstance(event, ChildDown)]
    assert len(set(started)) == len(started)
    assert sorted(started) == sorted(downs)
    for path in {path for path, _ in started}:
        generations = [generation for other, generation in started if other == path]
        assert generations == list(range(1, len(generations) + 1))


def starts_only_after_needs_are_up(every: list[Event], after: dict[str, tuple[str, ...]]) -> None:
    fit: set[str] = set()  # up, or finished with its work done
    for event in every:
        match event:
            case ChildUp():
                fit.add(named(event))
            case ChildDown(reason=reason) if not isinstance(reason, Finished):
                # A temporary child that was stopped for another's sake counts as finished: see State.DONE.
                fit.discard(named(event))
            case ChildStarting():
                missing = set(after[named(event)]) - fit - finished_temporaries(every, event)
                assert not missing, f"{event.text()} without {missing}"
            case _:
                pass


def finished_temporaries(every: list[Event], until: Event) -> set[str]:
    """Children that went down for good without failing before ``until``."""
    found: set[str] = set()
    asked: set[str] = set()
    for event in every:
        if event is until:
            break
        match event:
            case ChildStopping():
                asked.add(named(event))
            case ChildStarting():
                asked.discard(named(event))
                found.discard(named(event))
            case ChildDown():
                if named(event) in asked or isinstance(event.reason, Finished):
                    found.add(named(event))
            case _:
                pass
    later = every[[id(event) for event in every].index(id(until)) :]
    again = {named(event) for event in later if isinstance(event, ChildStarting)}
    return found - again


def stops_in_reverse(every: list[Event], after: dict[str, tuple[str, ...]], strategy: Strategy) -> None:
    """Nobody is asked to stop while somebody who needs it lives; except one that is not ready in time, alone."""
    live: set[str] = set()
    up: set[str] = set()
    for event in every:
        match event:
            case ChildStarting():
                live.add(named(event))
            case ChildUp():
                up.add(named(event))
            case ChildDown():
                live.discard(named(event))
                up.discard(named(event))
            case ChildStopping():
                needing = {name for name, needs in after.items() if named(event) in needs and name in live}
                alone = strategy is Strategy.ONE_FOR_ONE and named(event) not in up
                assert not needing or alone, f"{event.text()} before {needing}"
            case _:
                pass


def never_two_of_an_exclusive_child(every: list[Event], exclusive: set[str]) -> None:
    living: set[str] = set()
    for event in every:
        if isinstance(event, ChildStarting) and named(event) in exclusive:
            assert named(event) not in living, event.text()
            living.add(named(event))
        elif isinstance(event, ChildDown) and not isinstance(event.reason, Abandoned):
            living.discard(named(event))


def restart_limit_is_exact(every: list[Event], limit: int, significant: set[str]) -> None:
    """As far as the log can tell: the clock may make one step (20 s) between a decision and its event's time."""

    def within(seconds: float, moment: Event, among: set[str]) -> int:
        return sum(
            1
            for event in every
            if isinstance(event, RestartScheduled)
            and named(event) in among
            and 0 <= (moment.at - event.at).total_seconds() < seconds
        )

    for event in every:
        match event:
            case RestartScheduled():
                assert within(40, event, significant if named(event) in significant else {named(event)}) <= limit
            case Escalated(reason=RestartsExceeded()):
                assert within(40, event, significant) <= limit <= within(80, event, significant)
            case ChildGone(reason=RestartsExceeded()):
                assert within(40, event, {named(event)}) <= limit <= within(80, event, {named(event)})
            case _:
                pass


def nothing_lives(tree: Tree) -> None:
    assert not tree.system.runtime.cells
    for thread in threading.enumerate():
        if thread.name.startswith("root/"):  # hung on purpose, and let go by now
            thread.join(5)
            assert not thread.is_alive()


@given(edges=st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=15))
def test_a_graph_is_refused_exactly_when_it_has_a_cycle(edges: list[tuple[str, str]]) -> None:
    reach = {name: {needed for who, needed in edges if who == name} for name in NAMES}
    for _ in NAMES:
        reach = {name: found.union(*(reach[other] for other in found)) for name, found in reach.items()}
    cyclic = any(name in found for name, found in reach.items())
    specs = [child(name, after={needed for who, needed in edges if who == name}) for name in NAMES]
    try:
        graph = Graph(specs)
    except SpecError as error:
        assert cyclic
        assert "→" in str(error)
        return
    assert not cyclic
    for name in NAMES:
        assert graph.dependents[name] == {other for other, found in reach.items() if name in found}
        assert all(graph.order.index(needed) < graph.order.index(name) for needed in reach[name])
