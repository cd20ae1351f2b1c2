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
            defaults = context.obj if isinstance(context.obj, Defaults) else Defaults()
            config, given, output = (options.pop(option, None) for option in ("config", "socket", "output"))
            session = Session(
                config or defaults.config, given or defaults.socket, output or defaults.output, dict(os.environ)
            )
            function(session, **options)  # type: ignore[call-arg]

        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        shared = {"config": _CONFIG, **({"socket": _SOCKET} if socket else {}), "output": _OUTPUT}
        keyword = inspect.Parameter.KEYWORD_ONLY
        added = [inspect.Parameter(key, keyword, default=None, annotation=kind) for key, kind in shared.items()]
        context = inspect.Parameter("context", keyword, annotation=typer.Context)
        parameters = [context, *(parameter.replace(kind=keyword) for parameter in own), *added]
        with_session.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        app.command(name)(with_session)
        return with_session

    return register
