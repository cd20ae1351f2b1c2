"""An ask without a timeout."""

from tests.typing.protocol import GetVerdict, Health, Verdict

from bibd.supervision import Ref


def use(health: Ref[Health]) -> Verdict:
    return health.ask(GetVerdict())  # E: mypy[call-arg] pyright[reportCallIssue] pyright[reportUnknownVariableType]
