"""The handler returns the bare value instead of ``msg.reply(value)``, which is what checks it."""

from tests.typing.protocol import GetVerdict, HealthMessage, ProbeNow, Verdict

from bibd.supervision import Actor, Answer


class HealthActor(Actor[HealthMessage]):
    def receive(self, msg: HealthMessage) -> Answer:
        match msg:
            case GetVerdict():
                return Verdict(healthy=True)  # E: mypy[return-value] pyright[reportReturnType]
            case ProbeNow():
                return None
