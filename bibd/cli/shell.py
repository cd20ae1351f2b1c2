"""``bib admin shell``: the same commands, typed one after the other."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from typer.core import TyperGroup

from bibd.cli.__main__ import run
from bibd.cli.app import root_command
from bibd.cli.output import emit, error_text, warn
from bibd.cli.session import Defaults, Session
from bibd.errors import UsageError

GREETING = (
    'Commands of bib; those of "bib admin" without the two words too. Tab completes, "help" helps, Ctrl-D leaves.'
)
LEAVE = ("exit", "quit")


def run_shell(session: Session) -> int:
    """Until the end of input. Returns 0 after a dialogue, else the first exit code of a line that was not 0."""
    defaults = Defaults(session.config, session.socket, session.output)
    if not sys.stdin.isatty():
        return run_lines(sys.stdin, defaults)
    from bibd.cli.prompt import dialogue

    emit(GREETING)
    run_lines(dialogue(root_command(), history_file(session.env)), defaults)
    return 0


def run_lines(lines: Iterable[str], defaults: Defaults) -> int:
    """Run each line; errors end none but their own. Returns the first exit code that was not 0."""
    first = 0
    for line in lines:
        if line.strip() in LEAVE:
            break
        code = _run_line(line, defaults)
        first = first or code
    return first


def full_command(words: Sequence[str]) -> list[str]:
    """What the words mean: ``status`` is ``admin status``, ``help db url`` is ``admin db url --help``."""
    args = list(words[1:]) if words[:1] == ["bib"] else list(words)
    if args[:1] == ["help"]:
        args = [*args[1:], "--help"]
    if args and not args[0].startswith("-") and not _is_root_command(args, explicit=words[:1] == ["bib"]):
        args.insert(0, "admin")
    return args


def _is_root_command(args: Sequence[str], *, explicit: bool) -> bool:
    root = root_command()
    command, admin = root.commands.get(args[0]), root.commands["admin"]
    if explicit or not isinstance(command, TyperGroup) or not isinstance(admin, TyperGroup):
        return command is not None
    # "migrate" is both: the next word tells.
    return args[0] not in admin.commands or (len(args) > 1 and args[1] in command.commands)


def history_file(env: Mapping[str, str]) -> Path | None:
    """Of the account, as the XDG Base Directory Specification has it; None without a home."""
    state = Path(env.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():
        if not env.get("HOME"):
            return None
        state = Path(env["HOME"]) / ".local/state"
    return state / "bibd/shell_history"


def _run_line(line: str, defaults: Defaults) -> int:
    try:
        args = _parsed(line)
    except UsageError as error:
        warn(error_text(error, as_json=defaults.output == "json"))
        return error.exit_code
    return run(args, defaults) if args else 0


def _parsed(line: str) -> list[str]:
    try:
        args = full_command(shlex.split(line, comments=True))
    except ValueError as error:
        raise UsageError(f"cannot read the line: {error}", "close the quotation") from None
    if args[:2] == ["admin", "shell"] and "--help" not in args:
        raise UsageError("this is the shell already", "type the command itself")
    return args
