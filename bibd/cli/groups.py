"""How groups of commands behave: plain help (rich's would double the start-up time), and help when named alone."""

from __future__ import annotations

import typer

from bibd.cli.output import warn

USAGE = 2


def group(*, add_completion: bool = False) -> typer.Typer:
    return typer.Typer(
        add_completion=add_completion,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


def help_when_alone(context: typer.Context) -> None:
    """To stderr with exit code 2: a script that forgot the command should fail."""
    if context.invoked_subcommand is None:
        warn(context.get_help())
        raise typer.Exit(USAGE)
