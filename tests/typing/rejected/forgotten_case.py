"""A message of the protocol is handled nowhere."""

from typing import assert_never

from tests.typing.protocol import GetVerdict, HealthMessage, Verdict

from bibd.supervision import Actor, Answer


class HealthActor(Actor[HealthMessage]):
    def receive(self, msg: HealthMessage) -> Answer:
        match msg:
            case GetVerdict():
                return msg.reply(Verdict(healthy=True))
            case _:
                assert_never(msg)  # E: mypy[arg-type] pyright[reportArgumentType]
