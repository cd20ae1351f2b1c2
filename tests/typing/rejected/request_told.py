"""A request is told: its answer would be lost."""

from tests.typing.protocol import GetVerdict, Health

from bibd.supervision import Ref


def use(health: Ref[Health]) -> None:
    health.tell(GetVerdict())  # E: mypy[arg-type] pyright[reportArgumentType]
