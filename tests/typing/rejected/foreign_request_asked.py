"""Another actor's request is asked."""

from tests.typing.protocol import GetNewest, Health

from bibd.supervision import Ref


def use(health: Ref[Health]) -> str:
    return health.ask(GetNewest(), timeout=1.0)  # E: mypy[arg-type] pyright[reportArgumentType]
