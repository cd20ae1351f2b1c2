"""``bib admin``: talks to the running daemon over its admin socket."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from bibd.cli import migrate, recovery_kit
from bibd.cli.groups import group, help_when_alone
from bibd.cli.output import emit, emit_json, printable, show
from bibd.cli.session import Session, command

# A status comes from memory; a ping or a health check may wait for the database's own timeout of 5 s.
QUICK_SECONDS = 5.0
PROBE_SECONDS = 30.0
FAILED = 1

app = group()
db = group()
ops = group()
app.add_typer(db, name="db")
app.add_typer(ops, name="ops")
app.add_typer(recovery_kit.app, name="recovery-kit")
app.add_typer(migrate.app, name="migrate")


@app.callback(invoke_without_command=True)
def admin(context: typer.Context) -> None:
    """Look after the running daemon.

    \b
    Exit codes: 0 ok, 1 failed or unhealthy, 2 usage, 3 no daemon answers,
    4 refused without --force
    """
    help_when_alone(context)


@db.callback(invoke_without_command=True)
def database(context: typer.Context) -> None:
    """Reach the database."""
    help_when_alone(context)


@ops.callback(invoke_without_command=True)
def operations(context: typer.Context) -> None:
    """Look at long operations, and cancel them."""
    help_when_alone(context)


def _ask(session: Session, method: str, *, timeout: float = QUICK_SECONDS) -> Any:
    with session.client() as client:
        return client.call(method, timeout=timeout)


@command(app, "status")
def status(
    session: Session,
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on showing it, until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option("--interval", min=0.1, metavar="SECONDS", help="For --watch.")] = 2.0,
) -> None:
    """Show the node: its state, database, migrations, and every child with its restarts and ready time.

    Exits with 0 whenever the daemon answers, ready or not; "bib admin health" judges.

    \b
    Examples:
      bib admin status
      bib admin status --watch
      bib admin status -o json | jq -r .state
      bib admin status --watch | jq -c .children     # in a pipe: one JSON object a line
    """
    if watch:
        from bibd.cli.watch import watch_status

        watch_status(session, interval)
        return
    answer = _ask(session, "status")
    if session.as_json:
        emit_json(answer)
        return
    from bibd.cli.render import status_view

    show(status_view(answer))


@command(app, "health")
def health(session: Session) -> None:
    """Run the health checks now. Exits with 1 when one of them fails.

    \b
    Examples:
      bib admin health
      bib admin health || systemctl restart app
    """
    answer = _ask(session, "health", timeout=PROBE_SECONDS)
    if session.as_json:
        emit_json(answer)
    else:
        from bibd.cli.render import health_view

        show(health_view(answer))
    if not answer["healthy"]:
        raise typer.Exit(FAILED)


@command(db, "ping")
def ping(session: Session) -> None:
    """One round trip to the database, through the daemon. Exits with 1 when it fails.

    \b
    Example:
      bib admin db ping
    """
    answer = _ask(session, "db.ping", timeout=PROBE_SECONDS)
    if session.as_json:
        emit_json(answer)
    elif answer["ok"]:
        emit(f"the database answers in {answer['seconds'] * 1000:.1f} ms: {answer['version']}")
    else:
        emit(f"the database does not answer (waited {answer['seconds']:.1f} s)")
    if not answer["ok"]:
        raise typer.Exit(FAILED)


@command(db, "url")
def url(
    session: Session,
    *,
    service: Annotated[
        bool, typer.Option("--service", help="Shell lines that name the entry in pg_service.conf instead.")
    ] = False,
) -> None:
    """Print the database's URL, with the password: psql and every driver take it.

    With --service, the password stays out of command lines: libpq reads it from the service file.

    \b
    Examples:
      psql "$(bib admin db url)"
      eval "$(bib admin db url --service)"; psql
    """
    answer = _ask(session, "db.url")
    if session.as_json:
        emit_json(answer)
    elif service:
        from shlex import quote

        emit(f"export PGSERVICEFILE={quote(answer['service_file'])} PGSERVICE={quote(answer['service'])}")
    else:
        emit(answer["url"])


@command(ops, "list")
def list_operations(session: Session) -> None:
    """List long operations: those that run, and the last ones that ended.

    \b
    Example:
      bib admin ops list
    """
    answer = _ask(session, "ops.list")
    if session.as_json:
        emit_json(answer)
    elif not answer:
        emit("no operations")
    else:
        from bibd.cli.render import operations_view

        show(operations_view(answer))


@command(ops, "cancel")
def cancel_operation(
    session: Session, operation: Annotated[str, typer.Argument(metavar="ID", help="As ops list has it.")]
) -> None:
    """Cancel a long operation: it ends as soon as it can, and leaves nothing half done.

    \b
    Example:
      bib admin ops list; bib admin ops cancel 17
    """
    with session.client() as client:
        answer = client.call("ops.cancel", {"id": operation}, timeout=QUICK_SECONDS)
    if session.as_json:
        emit_json(answer)
    else:
        emit(printable(f"operation {answer['id']} ({answer['kind']}): {answer['state']}"))


@command(app, "reload")
def reload(session: Session) -> None:
    """Read the configuration file again: what can change live does, what cannot is named.

    \b
    Example:
      bib config check && bib admin reload
    """
    answer: Mapping[str, list[str]] = _ask(session, "reload", timeout=PROBE_SECONDS)
    if session.as_json:
        emit_json(answer)
        return
    for warning in answer["warnings"]:
        emit(f"warning: {warning}")
    for key in answer["changed"]:
        emit(f"changed: {key}")
    for key in answer["restart_required"]:
        emit(f"needs a restart: {key}")
    if not answer["changed"] and not answer["restart_required"]:
        emit("nothing has changed")


@command(app, "shutdown")
def shutdown(
    session: Session,
    *,
    force: Annotated[bool, typer.Option("--force", help="Do not wait for running work to end.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return as soon as the daemon has agreed.")] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, metavar="SECONDS", help="How long to wait for its end.")
    ] = 60.0,
) -> None:
    """Stop the daemon, and wait until it is gone.

    \b
    Examples:
      bib admin shutdown
      bib admin shutdown --force --timeout 10

    \b
    Exit codes: 0 it is gone (or, with --no-wait, has begun to stop),
    1 it still ran after --timeout, 3 no daemon answers, 4 refused without --force
    """
    from bibd.cli.shutdown import shut_down

    answer = shut_down(session.client(), force=force, wait=None if no_wait else timeout, progress=sys.stderr)
    if session.as_json:
        emit_json(answer)
    else:
        emit(f"bibd (pid {answer['pid']}) {'is stopping' if no_wait else 'has stopped'}")


@command(app, "shell")
def shell(session: Session) -> None:
    """Type commands one after the other, with completion and history.

    Every command of bib works as it does outside, those of "bib admin" without the two words too.
    When the input is not a terminal, each line is a command, and the exit code is the first that was not 0.

    \b
    Examples:
      bib admin shell
      printf 'status\\ndb ping\\n' | bib admin shell
    """
    from bibd.cli.shell import run_shell

    code = run_shell(session)
    if code:
        raise typer.Exit(code)
