"""The caller uses an attribute that the reply has not got."""

from tests.typing.protocol import GetVerdict, Health

from bibd.supervision import Ref


def use(health: Ref[Health]) -> bool:
    return bool(health.ask(GetVerdict(), timeout=1.0).reachable)  # E: mypy[attr-defined] pyright[reportAttributeAccessIssue] pyright[reportUnknownMemberType] pyright[reportUnknownArgumentType]
