"""The terminal side of the shell: editing, history and completion by prompt_toolkit."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

import typer
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from typer.core import TyperCommand, TyperGroup, TyperOption

from bibd.cli.shell import LEAVE, full_command

PROMPT = "bib> "


def dialogue(root: TyperGroup, history_path: Path | None) -> Iterator[str]:
    """The lines that are typed, until Ctrl-D. Ctrl-C drops the line that is being typed."""
    session: PromptSession[str] = PromptSession(
        history=_history(history_path), completer=CommandCompleter(root), complete_while_typing=False
    )
    while True:
        try:
            yield session.prompt(PROMPT)
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


class CommandCompleter(Completer):
    """Commands, options and the values of options, from the same tree that runs them."""

    def __init__(self, root: TyperGroup) -> None:
        self._root = root

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        typed = document.text_before_cursor
        words = typed.split()
        begun = "" if not words or typed.endswith(" ") else words.pop()
        for value, help_text in candidates(self._root, words, begun):
            yield Completion(value, start_position=-len(begun), display_meta=help_text)


def candidates(root: TyperGroup, words: list[str], begun: str) -> list[tuple[str, str]]:
    """What ``begun`` may become after the complete ``words``, each with its one-line help."""
    command: TyperGroup | TyperCommand = root
    for word in full_command(words):
        if isinstance(command, TyperGroup) and word in command.commands:
            command = cast("TyperGroup | TyperCommand", command.commands[word])
    options = [param for param in command.params if isinstance(param, TyperOption)]
    found: list[tuple[str, str]] = []
    for option in options:
        if words and words[-1] in option.opts and not option.is_flag:
            return [(item.value, "") for item in option.shell_complete(typer.Context(command), begun)]
        if begun.startswith("-"):
            found += [(name, option.help or "") for name in option.opts if name.startswith("--")]
    if isinstance(command, TyperGroup) and not begun.startswith("-"):
        groups = [command]
        if command is root:
            groups += [
                child for name, child in root.commands.items() if name == "admin" and isinstance(child, TyperGroup)
            ]
            found += [("help", "Show help."), *((word, "Leave the shell.") for word in LEAVE)]
        elif len(words) == 1 and isinstance(also := root.commands.get(words[0]), TyperGroup) and also is not command:
            groups.append(also)  # "migrate" is a group of bib's and of bib admin's
        found += [(name, child.get_short_help_str(70)) for each in groups for name, child in each.commands.items()]
    return sorted((value, text) for value, text in found if value.startswith(begun))


def _history(path: Path | None) -> History:
    """A file of mode 0600; in memory where none can be kept."""
    if path is None:
        return InMemoryHistory()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))
