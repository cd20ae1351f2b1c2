"""A timeout without its name: 5 of what?"""

from tests.typing.protocol import GetVerdict, Health, Verdict

from bibd.supervision import Ref


def use(health: Ref[Health]) -> Verdict:
    return health.ask(GetVerdict(), 5.0)  # E: mypy[call-arg] pyright[reportCallIssue] pyright[reportUnknownVariableType]
