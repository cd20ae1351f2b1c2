"""A supervision kernel on pykka: typed messages, a start graph, restarts with limits, and stops that always end.

It knows nothing of databases. The whole public surface is here and in ``bibd.supervision.testkit``; the contract is
in ``docs/supervision.md``.
"""

from bibd.supervision.actor import Actor
from bibd.supervision.clock import Clock, SystemClock, Timer
from bibd.supervision.context import Context, Promise
from bibd.supervision.errors import (
    ActorCrashedError,
    ActorDownError,
    AskError,
    AskTimeoutError,
    BlockingAskError,
    InboxFullError,
    SpecError,
    StartFailedError,
    SupervisionError,
    UnansweredRequestError,
)
from bibd.supervision.messages import LATER, Answer, Notice, Reply, Request
from bibd.supervision.plan import State, Strategy
from bibd.supervision.ref import Ref
from bibd.supervision.restart import Backoff, Intensity
from bibd.supervision.spec import ChildSpec, Graph
from bibd.supervision.status import ChildStatus
from bibd.supervision.supervisor import Supervisor
from bibd.supervision.system import ActorSystem, StopReport

__all__ = [
    "LATER",
    "Actor",
    "ActorCrashedError",
    "ActorDownError",
    "ActorSystem",
    "Answer",
    "AskError",
    "AskTimeoutError",
    "Backoff",
    "BlockingAskError",
    "ChildSpec",
    "ChildStatus",
    "Clock",
    "Context",
    "Graph",
    "InboxFullError",
    "Intensity",
    "Notice",
    "Promise",
    "Ref",
    "Reply",
    "Request",
    "SpecError",
    "StartFailedError",
    "State",
    "StopReport",
    "Strategy",
    "SupervisionError",
    "Supervisor",
    "SystemClock",
    "Timer",
    "UnansweredRequestError",
]
