"""The state machine of the node's life."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bibd.node import (
    ChildBack,
    ChildLost,
    DrainRequested,
    Event,
    Failed,
    HealthLost,
    HealthRegained,
    NodeLife,
    NodeState,
    Stopped,
    TreeReady,
    accepting,
    advance,
    begin,
    live,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
TERMINAL = {NodeState.STOPPED, NodeState.FAILED}

children = st.sampled_from(["provisioner", "health", "migrator"])
events: st.SearchStrategy[Event] = st.one_of(
    st.sampled_from([TreeReady(), TreeReady(), HealthLost(), HealthRegained()]),
    st.builds(ChildLost, children),
    st.builds(ChildBack, children),
    # Rare ends, so that most sequences live for a while.
    st.sampled_from([TreeReady(), HealthRegained(), DrainRequested(), Stopped(), Failed("x")]),
)


def live_through(sequence: list[Event]) -> list[NodeLife]:
    lives = [begin(START)]
    for second, event in enumerate(sequence, start=1):
        lives.append(advance(lives[-1], event, START + timedelta(seconds=second)))
    return lives


@given(st.lists(events, max_size=40))
def test_ready_exactly_when_the_tree_is_ready_and_healthy_and_no_required_child_is_down(sequence: list[Event]) -> None:
    tree_ready, healthy, lost = False, True, set[str]()
    for event, life in zip(sequence, live_through(sequence)[1:], strict=True):
        match event:
            case TreeReady():
                tree_ready = True
            case HealthLost():
                healthy = False
            case HealthRegained():
                healthy = True
            case ChildLost(child):
                lost.add(child)
            case ChildBack(child):
                lost.discard(child)
            case _:
                pass
        if life.state in (NodeState.STARTING, NodeState.READY, NodeState.DEGRADED):
            assert (life.state is NodeState.READY) == (tree_ready and healthy and not lost)
        if life.state is NodeState.DEGRADED:
            assert life.ready_at is not None


@given(st.lists(events, max_size=40))
def test_terminal_states_absorb_and_draining_never_goes_back(sequence: list[Event]) -> None:
    lives = live_through(sequence)
    for before, after in pairwise(lives):
        if before.state in TERMINAL:
            assert after == before
        elif before.state is NodeState.DRAINING:
            assert after.state in {NodeState.DRAINING, *TERMINAL}
        if after.state is NodeState.STARTING:
            assert before.state is NodeState.STARTING


@given(st.lists(events, max_size=40))
def test_since_changes_exactly_with_the_state_and_ready_at_is_the_first_time(sequence: list[Event]) -> None:
    lives = live_through(sequence)
    for before, after in pairwise(lives):
        assert (after.since != before.since) == (after.state is not before.state)
    first = next((life.since for life in lives if life.state is NodeState.READY), None)
    assert lives[-1].ready_at == first


def test_the_whole_life() -> None:
    states = [
        life.state.value
        for life in live_through(
            [TreeReady(), HealthLost(), HealthRegained(), ChildLost("a"), ChildBack("a"), DrainRequested(), Stopped()]
        )
    ]
    assert states == ["starting", "ready", "degraded", "ready", "degraded", "ready", "draining", "stopped"]


def test_a_starting_node_can_drain() -> None:
    assert live_through([DrainRequested()])[-1].state is NodeState.DRAINING


def test_a_child_lost_while_starting_delays_ready() -> None:
    lives = live_through([ChildLost("a"), TreeReady(), ChildBack("a")])
    assert [life.state.value for life in lives] == ["starting", "starting", "starting", "ready"]


def test_stopped_without_draining_means_nothing_and_failed_keeps_its_reason() -> None:
    assert live_through([Stopped()])[-1] == begin(START)
    failed = live_through([DrainRequested(), Failed("gave up"), Failed("later")])[-1]
    assert (failed.state, failed.reason) == (NodeState.FAILED, "gave up")


def test_what_each_state_answers() -> None:
    assert {state for state in NodeState if accepting(state)} == {NodeState.READY, NodeState.DEGRADED}
    assert {state for state in NodeState if not live(state)} == TERMINAL
