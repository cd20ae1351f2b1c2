"""The tree of commands."""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from typing import Annotated

import typer
from typer.core import TyperGroup
from typer.main import get_command

from bibd.cli import admin, config, migration_files
from bibd.cli.groups import group, help_when_alone
from bibd.cli.output import emit


class Shell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def _version(wanted: bool) -> None:
    if wanted:
        from bibd import __version__

        emit(f"bib {__version__}")
        raise typer.Exit


app = group(add_completion=True)
app.add_typer(admin.app, name="admin")
app.add_typer(config.app, name="config")
app.add_typer(migration_files.app, name="migrate")


@app.callback(invoke_without_command=True)
def bib(
    context: typer.Context,
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Run and look after bibd, the daemon that owns a database.

    \b
    Start here:
      bibd                             start the daemon
      bib admin status                 what it does
      psql "$(bib admin db url)"       use the database
      bib migrate new add_users        write a migration
      bib admin migrate up             run it
      bib admin shutdown               stop it

    \b
    Exit codes: 0 ok, 1 failed, 2 usage, 3 daemon not reachable,
    4 refused without --force, 5 integrity, 78 configuration
    """
    help_when_alone(context)


@app.command("completion")
def completion(shell: Annotated[Shell, typer.Argument(help="The shell to complete in.")]) -> None:
    """Print the script that makes a shell complete bib's commands.

    \b
    Examples:
      source <(bib completion bash)                        # bash; put it into ~/.bashrc
      bib completion zsh > ~/.zfunc/_bib                   # zsh; a folder of $fpath
      bib completion fish > ~/.config/fish/completions/bib.fish
    """
    from typer._completion_shared import get_completion_script

    emit(get_completion_script(prog_name="bib", complete_var="_BIB_COMPLETE", shell=shell.value))


@cache
def root_command() -> TyperGroup:
    command = get_command(app)
    assert isinstance(command, TyperGroup)  # noqa: S101  an app with several commands is a group
    return command
