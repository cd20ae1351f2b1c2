"""A notice is asked: there will never be an answer."""

from tests.typing.protocol import Health, ProbeNow

from bibd.supervision import Ref


def use(health: Ref[Health]) -> None:
    health.ask(ProbeNow(), timeout=1.0)  # E: mypy[arg-type] pyright[reportArgumentType]
