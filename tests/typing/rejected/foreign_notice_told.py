"""Another actor's notice is told."""

from tests.typing.protocol import BackupDue, Health

from bibd.supervision import Ref


def use(health: Ref[Health]) -> None:
    health.tell(BackupDue())  # E: mypy[arg-type] pyright[reportArgumentType]
