"""The caller takes the reply for something else."""

from tests.typing.protocol import GetVerdict, Health

from bibd.supervision import Ref


def use(health: Ref[Health]) -> str:
    verdict: str = health.ask(GetVerdict(), timeout=1.0)  # E: mypy[assignment] pyright[reportAssignmentType]
    return verdict
