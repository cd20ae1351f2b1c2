"""The handler answers with another type than the request declares."""

from tests.typing.protocol import GetVerdict, HealthMessage, ProbeNow

from bibd.supervision import Actor, Answer


class HealthActor(Actor[HealthMessage]):
    def receive(self, msg: HealthMessage) -> Answer:
        match msg:
            case GetVerdict():
                return msg.reply("healthy")  # E: mypy[arg-type] pyright[reportArgumentType]
            case ProbeNow():
                return None
