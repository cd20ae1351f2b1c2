"""A request is scheduled: nobody waits for the answer."""

from tests.typing.protocol import GetVerdict

from bibd.supervision import Context


def schedule(ctx: Context) -> None:
    ctx.after(5.0, GetVerdict())  # E: mypy[arg-type] pyright[reportArgumentType]
