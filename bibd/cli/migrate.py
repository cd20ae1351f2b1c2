"""``bib admin migrate``: your own migrations, through the running daemon."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated, Any

import typer

from bibd.cli.groups import group
from bibd.cli.output import emit, emit_json, printable, show, warn
from bibd.cli.session import Session, command, command_when_alone
from bibd.errors import BibdError, RefusedError, UsageError

# The daemon reads the directory and parses every file of it.
ANSWER_SECONDS = 30.0

app = group()


class Goal(StrEnum):
    UP = "up"
    DOWN = "down"
    GOTO = "goto"


Params = dict[str, object]

_DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the SQL in order; change nothing.")]
_Force = Annotated[bool, typer.Option("--force", "--yes", "-y", help="Do not ask.")]
_Adopt = Annotated[bool, typer.Option("--adopt", help="First take over what golang-migrate has applied.")]
_Version = Annotated[int, typer.Argument(min=0, metavar="VERSION", help="Of a migration; 0 = before the first.")]


@command_when_alone(app)
def migrate(
    session: Session,
    *,
    dry_run: _DryRun = False,
    adopt: _Adopt = False,
    reset: Annotated[bool, typer.Option("--reset", help="Mend a migration that was left half done.")] = False,
    force: _Force = False,
) -> None:
    """Run your own migrations, and look at them. Alone, it runs what is pending.

    \b
    Examples:
      bib admin migrate status
      bib admin migrate                    # the same as: bib admin migrate up
      bib admin migrate up --dry-run
      bib admin migrate down 1
      bib admin migrate --reset            # explains what is dirty, and asks

    \b
    Exit codes: 0 ok, 1 failed, 2 usage, 3 no daemon answers,
    4 refused without --force, 5 a file that was applied is changed or gone,
    130 cancelled with Ctrl-C
    """
    if reset:
        if adopt:
            raise UsageError("--adopt has no effect on --reset", "first one, then the other")
        _reset(session, dry_run=dry_run, force=force)
    elif force:
        raise UsageError("--force has no effect on up", "leave it out; it goes with --reset, down, goto and force")
    else:
        _migrate(session, {"goal": Goal.UP, "adopt": adopt}, dry_run=dry_run, force=False)


@command(app, "up")
def up(
    session: Session,
    count: Annotated[
        int | None, typer.Argument(min=1, metavar="N", help="How many; all when left out.", show_default=False)
    ] = None,
    *,
    dry_run: _DryRun = False,
    adopt: _Adopt = False,
) -> None:
    """Run the pending migrations in order, or the next N.

    Ctrl-C cancels: what has been finished stays, what runs is undone. A second Ctrl-C leaves at once.

    \b
    Examples:
      bib admin migrate up
      bib admin migrate up 1
      bib admin migrate up --dry-run > review.sql
      bib admin migrate up --adopt         # a database that golang-migrate has migrated so far
    """
    _migrate(session, {"goal": Goal.UP, "count": count, "adopt": adopt}, dry_run=dry_run, force=False)


@command(app, "down")
def down(
    session: Session,
    count: Annotated[int, typer.Argument(min=1, metavar="N", help="How many.")],
    *,
    dry_run: _DryRun = False,
    force: _Force = False,
) -> None:
    """Undo the newest N migrations, newest first.

    Before each, what it touches is dumped to a file in the data directory, its restore point, whose path is printed.

    \b
    Examples:
      bib admin migrate down 1
      bib admin migrate down 2 --dry-run
      bib admin migrate down 1 --force     # does not ask
    """
    _migrate(session, {"goal": Goal.DOWN, "count": count}, dry_run=dry_run, force=force)


@command(app, "goto")
def goto(session: Session, version: _Version, *, dry_run: _DryRun = False, force: _Force = False) -> None:
    """Run or undo migrations until VERSION is the newest one.

    \b
    Examples:
      bib admin migrate goto 12
      bib admin migrate goto 0 --dry-run   # 0 = before the first
    """
    _migrate(session, {"goal": Goal.GOTO, "version": version}, dry_run=dry_run, force=force)


@command(app, "status")
def status(session: Session) -> None:
    """List the migrations and their states.

    applied, pending, dirty (begun, not finished), edited or missing (since they were applied).

    \b
    Examples:
      bib admin migrate status
      bib admin migrate status -o json | jq .pending
    """
    answer = _ask(session, "migrate.status")
    if session.as_json:
        emit_json(answer)
        return
    from bibd.cli.render_migrations import report_view

    show(report_view(answer))


@command(app, "plan")
def plan(
    session: Session,
    goal: Annotated[Goal, typer.Argument(metavar="GOAL", help="Where to.")] = Goal.UP,
    number: Annotated[
        int | None,
        typer.Argument(min=0, metavar="N", help="As up, down and goto take it.", show_default=False),
    ] = None,
    *,
    dry_run: _DryRun = False,
    adopt: _Adopt = False,
) -> None:
    """Say what would run, in order, and why; --dry-run shows the SQL.

    \b
    Examples:
      bib admin migrate plan
      bib admin migrate plan down 2
      bib admin migrate plan goto 12 -o json | jq -r '.steps[].sql'
    """
    if number is None and goal is not Goal.UP:
        raise UsageError(f"{goal} needs a number", f"try: bib admin migrate plan {goal} 1")
    if number == 0 and goal is not Goal.GOTO:
        raise UsageError(f"{goal} 0 does nothing", "at least 1")
    if adopt and goal is not Goal.UP:
        raise UsageError(f"--adopt has no effect on {goal}", "it goes with up")
    params: Params = {"goal": goal, "version" if goal is Goal.GOTO else "count": number, "adopt": adopt}
    if dry_run:
        _migrate(session, params, dry_run=True, force=False)
        return
    answer = _ask(session, "migrate.plan", params)
    if session.as_json:
        emit_json(answer)
        return
    from bibd.cli.render_migrations import plan_view

    show(plan_view(answer))


@command(app, "force")
def force_version(session: Session, version: _Version, *, dry_run: _DryRun = False, force: _Force = False) -> None:
    """Record VERSION as the newest that is applied, and run nothing.

    The last resort, for a schema that was brought to VERSION by hand: what is up to VERSION counts as applied with its
    file of today, what is above as not applied.

    \b
    Examples:
      bib admin migrate force 5 --dry-run
      bib admin migrate force 5
    """
    from bibd.cli.render_migrations import Forced, forced

    change: Forced = forced(_ask(session, "migrate.status"), version)
    if dry_run:
        if session.as_json:
            emit_json(change.as_json())
        else:
            emit(printable(change.text()))
        return
    if not force:
        _confirm(session, change.text(), "Record it?")
    _run(session, "migrate.force", {"version": version})


def _migrate(session: Session, params: Params, *, dry_run: bool, force: bool) -> None:
    if dry_run:
        _show_sql(session, _ask(session, "migrate.plan", params))
        return
    if not force and params["goal"] != Goal.UP:
        from bibd.cli.render_migrations import undone

        answer = _ask(session, "migrate.plan", params)
        if text := undone(answer):
            _confirm(session, text, "Go on?")
    _run(session, "migrate.run", params)


def _reset(session: Session, *, dry_run: bool, force: bool) -> None:
    answer = _ask(session, "migrate.explain_reset")
    explanation = str(answer["explanation"])
    if dry_run or not answer["possible"]:
        if session.as_json:
            emit_json(answer)
        else:
            emit(printable(explanation))
        if answer["state"] == "dirty" and not answer["possible"]:
            raise BibdError(
                "a reset cannot mend this",
                "bring the schema to a version by hand, then: bib admin migrate force VERSION",
            )
        return
    if not force:
        _confirm(session, explanation, "Do it?")
    elif not session.as_json:
        warn(printable(explanation))
    _run(session, "migrate.reset", {})


def _confirm(session: Session, what: str, question: str) -> None:
    """Raises RefusedError unless a person at a terminal says yes."""
    if session.as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise RefusedError(f"refused without --force: {what}", "nothing was changed; to go on, repeat it with --force")
    warn(printable(what))
    if not typer.confirm(question, err=True):
        raise RefusedError("nothing was changed", "look first: --dry-run")


def _run(session: Session, method: str, params: Params) -> None:
    from bibd.cli.follow import follow

    answer = follow(session, method, params)
    if session.as_json:
        emit_json(answer)
        return
    from bibd.cli.render_migrations import run_view

    show(run_view(answer))


def _show_sql(session: Session, answer: Any) -> None:
    if session.as_json:
        emit_json(answer)
        return
    from bibd.cli.render_migrations import script

    text = script(answer)
    # A file gets the SQL as it is; a terminal would obey what is hidden in it.
    emit("\t".join(printable(part) for part in text.split("\t")) if sys.stdout.isatty() else text)


def _ask(session: Session, method: str, params: Params | None = None) -> Any:
    with session.client() as client:
        return client.call(method, params, timeout=ANSWER_SECONDS)
