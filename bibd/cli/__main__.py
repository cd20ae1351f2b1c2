"""``bib``: runs one command line, and is the one place where errors become text and exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import TextIOWrapper
from itertools import pairwise
from typing import TYPE_CHECKING

from bibd.errors import BibdError, UsageError

if TYPE_CHECKING:
    from bibd.cli.session import Defaults

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def main() -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a name that the locale cannot write is shown escaped
            stream.reconfigure(errors="backslashreplace")
    return run(sys.argv[1:])


def run(args: Sequence[str], defaults: Defaults | None = None) -> int:
    """Exit code of ``bib ARGS``; ``defaults`` holds for options that are not given (of the shell that runs this)."""
    as_json = _wants_json(args) or (defaults is not None and defaults.output == "json")
    try:
        return _invoke(args, defaults)
    except BibdError as error:
        _report(error, as_json=as_json)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as exit_:  # of typer's completion, and of its --install-completion
        return exit_.code if isinstance(exit_.code, int) else 1


def _invoke(args: Sequence[str], defaults: Defaults | None) -> int:
    import typer

    from bibd.cli.app import root_command

    try:
        code = root_command().main(args=list(args), prog_name="bib", standalone_mode=False, obj=defaults)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        hint = f"try: {context.command_path} --help" if context is not None else ""
        raise UsageError(error.format_message(), hint) from None
    except typer.Abort:
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def _report(error: BibdError, *, as_json: bool) -> None:
    from bibd.cli.output import error_text, warn

    warn(error_text(error, as_json=as_json))


def _wants_json(args: Sequence[str]) -> bool:
    """Also for a command line that could not be parsed."""
    joined = {"-ojson", "--output=json"} & set(args)
    return bool(joined) or any(pair in (("-o", "json"), ("--output", "json")) for pair in pairwise(args))


if __name__ == "__main__":
    sys.exit(main())
