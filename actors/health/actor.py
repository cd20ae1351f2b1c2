"""Looks at the database, and decides what to do when it does not answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import assert_never

from actors.health.messages import (
    Health,
    HealthMessage,
    PolicyChanged,
    ProbeDone,
    ProbeNow,
    Restored,
    RestoreFailed,
    RestoreNow,
)
from actors.provisioner.messages import Provisioner, Restore
from bibd.errors import BibdError
from bibd.health import Condition, GiveUp, Policy, ProbeIn, RestoreIn, ShutDown, judge
from bibd.logs.setup import for_actor
from bibd.storage import Probed
from bibd.supervision import Actor, Answer, Context, Notice


class HealthActor(Actor[HealthMessage]):
    """Exactly one thing is under way at any time: a probe, a restoration, or the wait for the next of these.

    ``turn`` numbers them, so that a timer which was overtaken changes nothing. ``publish`` gets each probe and
    whether the database counts as healthy; ``shut_down`` asks for the end of the node.
    """

    auto_ready = False

    def __init__(
        self,
        ctx: Context,
        policy: Policy,
        probe: Callable[[float], Probed],
        publish: Callable[[Probed, bool], None],
        shut_down: Callable[[str], object],
    ) -> None:
        self._ctx = ctx
        self._policy = policy
        self._probe = probe
        self._publish = publish
        self._shut_down = shut_down
        self._condition = Condition()
        self._turn = 0
        self._restoring = False
        self._probing = False
        self._given_up = False
        self._began = ctx.clock.monotonic()
        self._log = for_actor("health")
        self._provisioner = ctx.ref("provisioner", Provisioner)

    def on_start(self) -> None:
        self._look()

    def receive(self, msg: HealthMessage) -> Answer:
        match msg:
            case PolicyChanged(policy=policy):
                self._policy = policy
                if not self._probing and not self._restoring:
                    self._look()
            case ProbeNow(turn=turn) if turn == self._turn:
                self._look()
            case RestoreNow(turn=turn) if turn == self._turn:
                self._restoring = True
                self._provisioner.tell(Restore())
            case ProbeDone(result=result):
                self._probing = False
                self._decide(result)
            case Restored() if self._restoring:
                self._restoring = False
                self._look()
            case RestoreFailed(error=error) if self._restoring:
                self._restoring = False
                self._log.error("the database could not be brought back: {}", error)
                # It may have come back by itself; if not, this brings the next attempt.
                self._look()
            case ProbeNow() | RestoreNow() | Restored() | RestoreFailed():
                pass  # overtaken
            case _:
                assert_never(msg)
        return None

    def _look(self) -> None:
        self._turn += 1
        self._probing = True
        timeout = self._policy.timeout

        def look(_cancel: threading.Event) -> Probed:
            return self._probe(timeout)

        self._ctx.pipe(look, ProbeDone)

    def _decide(self, result: Probed) -> None:
        was = self._condition.healthy
        self._publish(result, result.ok)
        if result.ok:
            self._given_up = False
            self._ctx.ready()
            if was is False:
                self._log.info("the database answers again")
        elif was:
            self._log.warning("the database does not answer: {}", result.detail)
        elif was is None and self._ctx.clock.monotonic() - self._began > self._policy.startup_timeout:
            raise BibdError(
                f"the database did not become healthy within {self._policy.startup_timeout:g} s: {result.detail}",
                hint="look into logs/postgres.log, or raise database.postgres.health.startup_timeout",
            )
        self._act(ok=result.ok)

    def _act(self, *, ok: bool) -> None:
        self._condition, verdict = judge(self._condition, ok, self._policy)
        match verdict:
            case ProbeIn(seconds=seconds):
                self._next(seconds, ProbeNow)
            case RestoreIn(seconds=seconds, attempt=attempt):
                self._log.info("bringing the database back in {:g} s (attempt {})", seconds, attempt)
                self._next(seconds, RestoreNow)
            case GiveUp(attempts=attempts):
                if not self._given_up:
                    self._given_up = True
                    self._log.error(
                        "giving up on the database after {} attempts; it is still watched. "
                        "HINT: see logs/postgres.log; `bib admin health` shows what fails",
                        attempts,
                    )
                self._next(self._policy.interval, ProbeNow)
            case ShutDown():
                self._shut_down("the database was lost and database.postgres.health.action is shutdown")
            case _:
                assert_never(verdict)

    def _next(self, seconds: float, message: Callable[[int], Notice[Health]]) -> None:
        self._turn += 1
        self._ctx.after(seconds, message(self._turn))
