"""What every command shares: ``--config``, ``--socket`` and ``-o``, and the way from them to the daemon."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec

import typer

from bibd.errors import UsageError

if TYPE_CHECKING:
    from bibd.admin.client import AdminClient
    from bibd.config.load import Loaded

P = ParamSpec("P")
SOCKET_VARIABLE = "BIBD_ADMIN__SOCKET"


class OutputFormat(StrEnum):
    TABLE = "table"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Defaults:
    """For options that a command is not given: those of the shell that it is typed into."""

    config: Path | None = None
    socket: Path | None = None
    output: OutputFormat = OutputFormat.TABLE


@dataclass(frozen=True, slots=True)
class Session:
    """The shared options of one command."""

    config: Path | None
    socket: Path | None
    output: OutputFormat
    env: Mapping[str, str]

    @property
    def as_json(self) -> bool:
        return self.output is OutputFormat.JSON

    def config_file(self) -> Path | None:
        """The file that the daemon of this account would read; None when there is none. Raises ConfigError."""
        from bibd.config.load import find_file

        return find_file(self.config, self.env, _home(), os.geteuid())

    def loaded(self) -> Loaded:
        """Raises ConfigError."""
        from bibd.config.load import load

        return load(self.config_file(), self.env, {})

    def socket_path(self) -> Path:
        """``--socket``, else the variable, else what the configuration says. Raises ConfigError."""
        if self.socket is not None:
            return self.socket
        # The configuration would say the same, but takes 0.1 s to load, and may be broken while the daemon runs.
        if self.config is None and self.env.get(SOCKET_VARIABLE):
            return Path(self.env[SOCKET_VARIABLE])
        from bibd.config.resolve import admin_socket, data_dir

        settings = self.loaded().settings
        return admin_socket(settings, data_dir(settings, home=_home(), euid=os.geteuid()))

    def client(self) -> AdminClient:
        from bibd.admin.client import AdminClient

        return AdminClient(self.socket_path())


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # an account without an entry in passwd(5), as in containers
        return Path("/")


_CONFIG = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Configuration file, else as bibd finds it.", show_default=False),
]
_SOCKET = Annotated[
    Path | None,
    typer.Option("--socket", metavar="PATH", help="Admin socket, else as configured.", show_default=False),
]
_OUTPUT = Annotated[
    OutputFormat | None, typer.Option("--output", "-o", help="Output format; default: table.", show_default=False)
]


def command(
    app: typer.Typer, name: str, *, socket: bool = True
) -> Callable[[Callable[Concatenate[Session, P], None]], Callable[..., None]]:
    """Register a function as the command ``name`` with the shared options; it gets them as a Session."""

    def register(function: Callable[Concatenate[Session, P], None]) -> Callable[..., None]:
        @wraps(function)
        def with_session(context: typer.Context, **options: Any) -> None:
            function(_take_session(context, options), **options)  # type: ignore[call-arg]

        with_session.__signature__ = _signature(function, socket=socket)  # type: ignore[attr-defined]
        app.command(name)(with_session)
        return with_session

    return register


def command_when_alone(
    app: typer.Typer,
) -> Callable[[Callable[Concatenate[Session, P], None]], Callable[..., None]]:
    """Register what a group does when none of its commands is named.

    Shared options that are given to the group hold for its command, too. The function's own are all flags; before a
    command they are a usage error, since the command would not see them.
    """

    def register(function: Callable[Concatenate[Session, P], None]) -> Callable[..., None]:
        @wraps(function)
        def with_session(context: typer.Context, **options: Any) -> None:
            session = _take_session(context, options)
            if context.invoked_subcommand is None:
                function(session, **options)  # type: ignore[call-arg]
                return
            if given := [f"--{name.replace('_', '-')}" for name, value in options.items() if value]:
                raise UsageError(
                    f"{given[0]} before {context.invoked_subcommand!r} would have no effect",
                    f"put it after: {context.command_path} {context.invoked_subcommand} … {given[0]}",
                )
            context.obj = Defaults(session.config, session.socket, session.output)

        with_session.__signature__ = _signature(function, socket=True)  # type: ignore[attr-defined]
        app.callback(invoke_without_command=True)(with_session)
        return with_session

    return register


def _take_session(context: typer.Context, options: dict[str, Any]) -> Session:
    """Takes the shared options out of ``options``."""
    defaults = context.obj if isinstance(context.obj, Defaults) else Defaults()
    config, given, output = (options.pop(option, None) for option in ("config", "socket", "output"))
    return Session(config or defaults.config, given or defaults.socket, output or defaults.output, dict(os.environ))


def _signature(function: Callable[..., None], *, socket: bool) -> inspect.Signature:
    """What typer sees: the function's own parameters without its session, and the shared options."""
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    shared = {"config": _CONFIG, **({"socket": _SOCKET} if socket else {}), "output": _OUTPUT}
    keyword = inspect.Parameter.KEYWORD_ONLY
    added = [inspect.Parameter(key, keyword, default=None, annotation=kind) for key, kind in shared.items()]
    context = inspect.Parameter("context", keyword, annotation=typer.Context)
    return inspect.Signature([context, *(parameter.replace(kind=keyword) for parameter in own), *added])
