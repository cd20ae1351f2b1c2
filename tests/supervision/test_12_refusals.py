"""12. Refusal is not failure: bad input is a typed reply, a crash is an exception."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bibd.supervision import (
    ActorCrashedError,
    StartFailedError,
)
from bibd.supervision.events import (
    ChildDown,
)
from bibd.supervision.reasons import (
    Crashed,
    NotReady,
)
from tests.supervision.puppet import (
    BoomError,
    Tree,
    child,
    raising,
)

Make = Callable[..., Tree]


def test_12_a_refusal_is_a_typed_reply_and_a_crash_is_an_exception(tree: Make) -> None:
    one = tree(child("a")).up()
    assert one.fetch("a", lambda _: "refused: no such backup") == "refused: no such backup"
    assert one.log.entries(ChildDown) == []
    with pytest.raises(ActorCrashedError, match="root/a crashed over Fetch") as caught:
        one.fetch("a", raising(BoomError("a bug")))
    assert isinstance(caught.value.__cause__, BoomError)
    down = one.log.expect(ChildDown)
    assert isinstance(down.reason, Crashed)
    assert down.reason.error is caught.value.__cause__


def test_12_a_late_start_says_why(tree: Make) -> None:
    one = tree(child("a", late=True))
    one.system.start()
    with pytest.raises(StartFailedError, match=r"not ready within 0\.01 s"):
        one.system.wait_ready(0.01)
    assert NotReady(3).seconds == 3
