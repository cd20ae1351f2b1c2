"""A promise is kept with another type than the request declares."""

from tests.typing.protocol import GetVerdict

from bibd.supervision import LATER, Answer, Context


def receive(ctx: Context, msg: GetVerdict) -> Answer:
    ctx.promise(msg).keep("healthy")  # E: mypy[arg-type] pyright[reportArgumentType]
    return LATER
