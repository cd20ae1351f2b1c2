"""``bib config``: the configuration as bibd would read it, without a daemon."""

from __future__ import annotations

from typing import Annotated

import typer

from bibd.cli.groups import group, help_when_alone
from bibd.cli.output import emit, emit_json, warn
from bibd.cli.session import Session, command

app = group()


@app.callback(invoke_without_command=True)
def config(context: typer.Context) -> None:
    """Check and show the configuration. No daemon is needed.

    \b
    Exit codes: 0 ok, 78 the configuration cannot work
    """
    help_when_alone(context)


@command(app, "check", socket=False)
def check(session: Session) -> None:
    """Read the configuration and say whether bibd can work with it.

    \b
    Examples:
      bib config check
      bib config check --config /etc/bibd/config.yaml && systemctl reload bibd
    """
    loaded = session.loaded()
    source = str(loaded.path) if loaded.path is not None else None
    if session.as_json:
        emit_json({"valid": True, "path": source, "warnings": list(loaded.warnings)})
        return
    for warning in loaded.warnings:
        warn(f"warning: {warning}")
    emit(f"{source}: valid" if source is not None else "no configuration file: the defaults are valid")


@command(app, "show", socket=False)
def show(
    session: Session,
    *,
    origins: Annotated[
        bool, typer.Option("--origins", help="Say where each value comes from: default, file:line, environment.")
    ] = False,
) -> None:
    """Print the whole configuration in force, defaults included, secrets hidden.

    \b
    Examples:
      bib config show --origins
      bib config show > config.yaml        # a file to start from
      bib config show -o json
    """
    from bibd.config.show import as_json_dict, as_yaml

    loaded = session.loaded()
    if session.as_json:
        emit_json(as_json_dict(loaded))
    else:
        emit(as_yaml(loaded, origins=origins).rstrip("\n"))


@command(app, "path", socket=False)
def path(session: Session) -> None:
    """Print the path of the configuration file that bibd would read.

    \b
    Example:
      $EDITOR "$(bib config path)"
    """
    found = session.config_file()
    if session.as_json:
        emit_json({"path": str(found) if found is not None else None})
    elif found is not None:
        emit(str(found))
    else:
        warn("no configuration file: bibd runs with its defaults")
