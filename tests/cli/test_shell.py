"""``bib admin shell``: lines from a pipe, a dialogue through prompt_toolkit, completion, history."""

from __future__ import annotations

import io
import json
import stat
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from bibd.cli.app import root_command
from bibd.cli.prompt import CommandCompleter, dialogue
from bibd.cli.session import OutputFormat, Session
from bibd.cli.shell import full_command, history_file, run_shell
from tests.cli.conftest import BIB, Bib
from tests.cli.terminal import Terminal

pytestmark = pytest.mark.usefixtures("daemon")


def test_lines_of_a_pipe_are_commands(bib: Bib) -> None:
    shown = bib("admin", "shell", stdin="db ping\nadmin db ping\nbib admin db ping\n\n# a comment\nexit\nstatus\n")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out == "the database answers in 1.2 ms: 18.6\n" * 3


def test_errors_do_not_end_it_and_the_first_failing_code_is_returned(bib: Bib) -> None:
    shown = bib("admin", "shell", stdin="db ping --socket /nonexistent\nstatsu\ndb 'ping\nshell\ndb ping\n")
    assert shown.code == 3
    assert shown.out == "the database answers in 1.2 ms: 18.6\n"
    assert [line for line in shown.err.splitlines() if line.startswith("error")] == [
        "error: no daemon answers on /nonexistent",
        "error: No such command 'statsu'. Did you mean 'status'?",
        "error: cannot read the line: No closing quotation",
        "error: this is the shell already",
    ]


def test_options_of_the_shell_hold_for_its_commands(bib: Bib) -> None:
    shown = bib("admin", "shell", "-o", "json", stdin="db ping\nnope\n'\n")
    assert json.loads(shown.out)["ok"] is True
    assert [json.loads(line)["error"]["exit_code"] for line in shown.err.splitlines()] == [2, 2]
    lost = bib("admin", "shell", "--socket", "/nonexistent", stdin="status\n")
    assert lost.code == 3


def test_as_a_process_it_reads_stdin(bib_process: Bib) -> None:
    shown = bib_process("admin", "shell", stdin="db ping\nstatsu\n")
    assert shown.code == 2
    assert shown.out == "the database answers in 1.2 ms: 18.6\n"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("status", "admin status"),
        ("admin status", "admin status"),
        ("bib admin status", "admin status"),
        ("config show", "config show"),
        ("help", "--help"),
        ("help db url", "admin db url --help"),
        ("--version", "--version"),
        ("", ""),
        ("migrate", "admin migrate"),
        ("migrate --reset", "admin migrate --reset"),
        ("migrate up 2", "admin migrate up 2"),
        ("migrate new add_users", "migrate new add_users"),
        ("help migrate", "admin migrate --help"),
        ("bib migrate", "migrate"),
        ("bib migrate check", "migrate check"),
    ],
)
def test_words_mean_what_they_mean_outside(typed: str, meant: str) -> None:
    assert full_command(typed.split()) == meant.split()


def completions(text: str) -> set[str]:
    completer = CommandCompleter(root_command())
    return {each.text for each in completer.get_completions(Document(text), CompleteEvent())}


def test_commands_options_and_values_are_completed() -> None:
    assert {"admin", "config", "status", "db", "shutdown", "help", "exit"} <= completions("")
    assert completions("stat") == {"status"}
    assert completions("db ") == completions("admin db ") == {"ping", "url"}
    assert {"up", "down", "status", "new", "check"} <= completions("migrate ")
    assert completions("admin migrate do") == {"down"}
    assert "--dry-run" in completions("migrate up --")
    assert completions("status --w") == {"--watch"}
    assert "--origins" in completions("config show --")
    assert completions("status -o ") == {"table", "json"}
    assert completions("status --output j") == {"json"}
    assert completions("status --socket ") == set()
    assert completions("nonsense x") == set()


def talk(keys: str, history: Path | None) -> list[str]:
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        pipe.send_text(keys)
        return list(dialogue(root_command(), history))


def test_a_dialogue_edits_drops_a_line_with_ctrl_c_and_ends_with_ctrl_d(home: Path) -> None:
    assert talk("statu\x7fus\nxx\x03db url\n\x04", home / "state/history") == ["status", "db url"]


def test_tab_completes_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPT_TOOLKIT_NO_CPR", "1")  # nobody answers cursor position requests here
    with Terminal([*BIB, "admin", "shell"]) as terminal:
        terminal.expect(b"bib>")
        terminal.type(b"db pi\t")
        terminal.expect(b"ng")
        terminal.type(b"\r")
        terminal.expect(b"the database answers in 1.2 ms")
        # Drawn, drawn again when the line was accepted, and now: before, the terminal still has its own Ctrl-D.
        terminal.expect(b"bib>", times=3)
        terminal.type(b"\x04")
        assert terminal.exit_code() == 0


def test_the_history_is_kept_for_its_owner_alone(home: Path) -> None:
    history = home / "state/bibd/shell_history"
    talk("db ping\n\x04", history)
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert talk("\x1b[A\n\x04", history) == ["db ping"]  # arrow up


@pytest.mark.parametrize("history", [None, Path("/proc/nowhere/history")])
def test_a_history_that_cannot_be_kept_does_not_matter(history: Path | None) -> None:
    assert talk("status\n\x04", history) == ["status"]


def test_the_history_lies_where_xdg_says() -> None:
    assert history_file({"XDG_STATE_HOME": "/s", "HOME": "/h"}) == Path("/s/bibd/shell_history")
    assert history_file({"XDG_STATE_HOME": "relative", "HOME": "/h"}) == Path("/h/.local/state/bibd/shell_history")
    assert history_file({}) is None


def test_the_dialogue_runs_what_is_typed(
    home: Path, socket_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class TerminalInput(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", TerminalInput())
    session = Session(None, socket_path, OutputFormat.TABLE, {"HOME": str(home)})
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        pipe.send_text("db ping\nnope\ndb url\nexit\n")
        assert run_shell(session) == 0
    captured = capsys.readouterr()
    assert "18.6" in captured.out
    assert "postgresql://" in captured.out
    assert "No such command 'nope'" in captured.err
    assert (home / ".local/state/bibd/shell_history").exists()
