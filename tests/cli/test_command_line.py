"""``bib`` itself: help, usage errors, configuration commands, completion, what a shell sees."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.core import TyperGroup

from bibd import __version__
from bibd.admin.call import Call, Responder
from bibd.admin.schema import ChildStatus
from bibd.admin.server import AdminServer
from bibd.cli.app import root_command
from tests.admin.fake_daemon import node_status, serving
from tests.cli.conftest import BIB, Bib
from tests.cli.terminal import Terminal

ROOT = Path(__file__).parents[2]


def leaves(command: object, words: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if isinstance(command, TyperGroup):
        return [leaf for name, child in command.commands.items() for leaf in leaves(child, (*words, name))]
    return [words]


LEAVES = leaves(root_command())


def test_the_commands_are_those_of_the_design() -> None:
    assert {" ".join(words) for words in LEAVES} == {
        "admin status", "admin health", "admin db ping", "admin db url", "admin ops list", "admin reload",
        "admin ops cancel", "admin shutdown", "admin shell", "admin migrate up", "admin migrate down",
        "admin migrate goto", "admin migrate status", "admin migrate plan", "admin migrate force",
        "migrate new", "migrate sum", "migrate check", "config show", "config path", "config check", "completion",
        "admin recovery-kit create", "admin recovery-kit list", "admin recovery-kit remove",
        "admin recovery-kit verify",
    }  # fmt: skip


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_command_teaches_with_an_example(bib: Bib, words: tuple[str, ...]) -> None:
    shown = bib(*words, "--help")
    assert shown.code == 0
    assert "Example" in shown.out
    assert f"bib {' '.join(words)}" in shown.out.partition("Example")[2]
    if words != ("completion",):
        assert "--config" in shown.out
        assert "--output" in shown.out


def test_a_group_alone_shows_its_help_and_is_a_usage_error(bib: Bib) -> None:
    for words in ([], ["admin"], ["admin", "db"], ["admin", "recovery-kit"], ["migrate"], ["config"]):
        shown = bib(*words)
        assert (shown.code, shown.out) == (2, "")
        assert "Commands:" in shown.err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["admn"], "Did you mean 'admin'?"),
        (["admin", "statsu"], "Did you mean 'status'?"),
        (["admin", "db", "pin"], "Did you mean 'ping'?"),
        (["admin", "status", "--watc"], "--watch"),
        (["admin", "status", "extra"], "extra"),
        (["admin", "status", "-o", "xml"], "xml"),
        (["admin", "status", "--interval", "0"], "0"),
        (["completion", "tcsh"], "tcsh"),
        (["admin", "migrate", "dwon"], "Did you mean 'down'?"),
        (["admin", "migrate", "down"], "N"),
        (["admin", "migrate", "down", "0"], "greater than or equal to 1"),
        (["admin", "migrate", "up", "x"], "integer"),
        (["admin", "migrate", "goto"], "VERSION"),
        (["migrate", "new"], "NAME"),
    ],
)
def test_usage_errors_exit_with_2_and_help_on(bib: Bib, words: list[str], text: str) -> None:
    shown = bib(*words)
    assert (shown.code, shown.out) == (2, "")
    assert shown.err.startswith("error: ")
    assert text in shown.err
    assert re.search(r"^HINT: try: bib.* --help$", shown.err, re.MULTILINE)


@pytest.mark.parametrize("flag", [["-o", "json"], ["-ojson"], ["--output", "json"], ["--output=json"]])
def test_a_usage_error_is_json_when_json_is_wanted(bib: Bib, flag: list[str]) -> None:
    error = json.loads(bib("admin", "status", "--nope", *flag).err)["error"]
    assert error["exit_code"] == 2
    assert "--nope" in error["message"]


def test_version(bib: Bib) -> None:
    assert bib("--version").out == f"bib {__version__}\n"


def test_config_commands_need_no_daemon(home: Path, bib: Bib) -> None:
    config = home / "c.yaml"
    config.write_text("log: {level: debug}\n")
    assert bib("config", "check", "--config", str(config)).out == f"{config}: valid\n"
    assert bib("config", "path", "--config", str(config)).out == f"{config}\n"
    shown = bib("config", "show", "--origins", "--config", str(config)).out
    assert re.search(r"level: debug +# file .*c\.yaml:1", shown)
    as_json = json.loads(bib("config", "show", "-o", "json", "--config", str(config)).out)
    assert as_json["settings"]["log"]["level"] == "debug"
    assert json.loads(bib("config", "check", "-o", "json", "--config", str(config)).out)["valid"] is True
    assert json.loads(bib("config", "path", "-o", "json", "--config", str(config)).out) == {"path": str(config)}


def test_config_without_a_file_means_the_defaults(bib: Bib) -> None:
    assert bib("config", "check").out == "no configuration file: the defaults are valid\n"
    path = bib("config", "path")
    assert (path.code, path.out) == (0, "")


def test_a_broken_configuration_exits_with_78(home: Path, bib: Bib) -> None:
    config = home / "c.yaml"
    config.write_text("log:\n  levle: debug\n")
    shown = bib("config", "check", "--config", str(config))
    assert (shown.code, shown.out) == (78, "")
    assert "c.yaml:2" in shown.err
    assert bib("config", "check", "--config", str(home / "none.yaml")).code == 78


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_calls_bib(bib: Bib, shell: str) -> None:
    script = bib("completion", shell).out
    assert f"_BIB_COMPLETE=complete_{shell}" in script
    assert {"bash": "complete -o default -F", "zsh": "#compdef bib", "fish": "complete --command bib"}[shell] in script


def test_bash_completes_commands_and_options(home: Path, bib: Bib) -> None:
    script = home / "bib.bash"
    script.write_text(bib("completion", "bash").out)
    subprocess.run(["bash", "-n", str(script)], check=True)
    wrapper = home / "bib"
    wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bibd.cli "$@"\n')
    wrapper.chmod(0o700)

    def complete(*words: str) -> set[str]:
        quoted = " ".join(f"'{word}'" for word in words)
        code = f"""
            PATH={home}:$PATH; source {script}
            COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}
            _bib_completion bib; printf '%s\\n' "${{COMPREPLY[@]}}"
        """
        done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True, timeout=30)
        return set(done.stdout.split())

    assert complete("bib", "") == {"admin", "config", "migrate", "completion"}
    assert complete("bib", "admin", "db", "") == {"ping", "url"}
    assert complete("bib", "admin", "migrate", "") == {"up", "down", "goto", "status", "plan", "force"}
    assert complete("bib", "migrate", "") == {"new", "sum", "check"}
    assert "--watch" in complete("bib", "admin", "status", "--w")


def test_colour_only_on_a_terminal_and_never_with_no_color(
    daemon: AdminServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert daemon.alive
    command = [*BIB, "admin", "status"]
    assert b"\x1b[" not in subprocess.run(command, capture_output=True, check=True).stdout
    with Terminal(command) as terminal:
        assert terminal.exit_code() == 0
        assert b"\x1b[" in terminal.seen
    monkeypatch.setenv("NO_COLOR", "1")
    with Terminal(command) as terminal:
        assert terminal.exit_code() == 0
        assert b"Node State" in terminal.seen
        assert b"\x1b[" not in terminal.seen


@pytest.mark.usefixtures("daemon")
@pytest.mark.parametrize(
    "words", [["admin", "status"], ["admin", "status", "-o", "json"], ["--help"], ["config", "show"]]
)
def test_a_closed_pipe_is_quiet(words: list[str]) -> None:
    with subprocess.Popen([*BIB, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 1


def test_a_full_disk_is_an_error(bib_process: Bib) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*BIB, "config", "show"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot write the output: No space left on device\nHINT: ")
    assert bib_process("config", "path").code == 0


@pytest.mark.parametrize("output", ["table", "json"])
def test_what_the_locale_cannot_write_is_escaped(
    socket_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    child = ChildStatus("gesch\u00e4ft", "ready", 1, 0, None, None, "file \udcff")

    def handle(_: Call, responder: Responder) -> None:
        responder.result(replace(node_status(), children=(child,)))

    with serving(socket_path, handle):
        done = subprocess.run([*BIB, "admin", "status", "-o", output], capture_output=True, check=True)
    assert b"gesch\\" in done.stdout
    assert done.stdout.isascii()
    assert done.stderr == b""


@pytest.mark.parametrize(
    ("words", "allowed"), [(["--help"], {"typer"}), (["admin", "status"], {"typer", "rich", "pydantic"})]
)
def test_heavy_modules_stay_out_of_short_commands(daemon: AdminServer, words: list[str], allowed: set[str]) -> None:
    heavy = {"rich", "psycopg", "prompt_toolkit", "cryptography", "loguru", "pykka", "asyncio", "yaml"} - allowed
    code = f"import sys; from bibd.cli.__main__ import run; run({words!r}); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert daemon.alive
    assert not heavy & set(done.stderr.split())
