"""9. Every ask has a timeout, and a blocking one inside a handler goes to one's own child only."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from bibd.supervision import (
    AskTimeoutError,
    BlockingAskError,
    Context,
    Ref,
)
from bibd.supervision.events import (
    ChildUp,
)
from bibd.supervision.testkit import settle
from tests.supervision.puppet import (
    Fetch,
    Stage,
    Tree,
    child,
    nest,
    nothing,
    supervisor_of,
    waiting,
)

Make = Callable[..., Tree]


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
            x = Ref[Stage](supervisor_of(one, "s").scope.find("x"))
            answers.append(x.ask(Fetch(lambda ctx: ctx.path), timeout=5))

    one.system.subscribe(ask_the_child)
    one.up()
    settle(one.system)
    assert answers == ["root/s/x"]
