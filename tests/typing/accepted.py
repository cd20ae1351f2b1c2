"""The right use of all that the files in ``rejected/`` get wrong. Must be clean under both checkers."""

from __future__ import annotations

from typing import assert_never

from bibd.supervision import LATER, Actor, ActorSystem, Answer, ChildSpec, Context, Promise, Ref
from tests.typing.protocol import GetVerdict, Health, HealthMessage, ProbeNow, Verdict


class HealthActor(Actor[HealthMessage]):
    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.waiting: list[Promise[Verdict]] = []

    def receive(self, msg: HealthMessage) -> Answer:
        match msg:
            case GetVerdict():
                return msg.reply(Verdict(healthy=True))
            case ProbeNow():
                return None
            case _:
                assert_never(msg)


class PatientActor(HealthActor):
    def receive(self, msg: HealthMessage) -> Answer:
        match msg:
            case GetVerdict():
                self.waiting.append(self.ctx.promise(msg))
                return LATER
            case ProbeNow():
                for promise in self.waiting:
                    promise.keep(Verdict(healthy=False))
                self.ctx.pipe(lambda cancel: cancel.is_set(), lambda _: ProbeNow())
                self.ctx.after(5.0, ProbeNow())
                return None
            case _:
                assert_never(msg)


def use(health: Ref[Health]) -> bool:
    health.tell(ProbeNow())
    verdict: Verdict = health.ask(GetVerdict(), timeout=1.0)
    return verdict.healthy


def embed() -> bool:
    with ActorSystem([ChildSpec("health", HealthActor), ChildSpec("patient", PatientActor)]) as system:
        return use(system.ref("health", Health))
