"""``bib admin migrate``: against a real admin socket, its progress, its questions, and Ctrl-C."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bibd.admin.call import Call, Responder
from bibd.admin.methods import ForceParams, MigrateParams, OperationParams
from bibd.admin.schema import MigrationReport, Operation, PlanReport, PlanStep, ResetReport, RunReport
from bibd.cli.progress import line
from bibd.errors import BibdError, IntegrityError
from tests.admin.fake_daemon import ACTION, RESTORE_POINT, RESTORE_POINTS, START, answer, serving
from tests.cli.conftest import BIB, Bib
from tests.cli.terminal import Terminal

CHANGING = {"migrate.run", "migrate.reset", "migrate.force"}
STEP = {
    "operation": "17",
    "direction": "up",
    "version": 4,
    "name": "add_orders",
    "statement": 1,
    "statements": 2,
    "text": "CREATE TABLE\n    orders (id bigint)",
    "state": "running",
    "detail": "",
}
LAST = {**STEP, "statement": 2, "text": "CREATE INDEX", "state": "done"}
FORWARD = PlanReport((PlanStep("up", 6, "totals", True, 1, "pending", "CREATE VIEW totals AS SELECT 1;\n"),))


class Migrator:
    """A daemon that answers at once, unless it waits: then it reports ``steps`` and ends when it is cancelled."""

    def __init__(
        self, *, waits: bool = False, finishes: bool = False, steps: tuple[Mapping[str, Any], ...] = ()
    ) -> None:
        self.calls: list[tuple[str, object]] = []
        self.answers: dict[str, object] = {}
        self.steps = steps
        self.ended = threading.Event()
        self.report = threading.Event()
        self._waits, self._finishes = waits, finishes

    def __call__(self, call: Call, responder: Responder) -> None:
        self.calls.append((call.method, call.params))
        if call.method == "ops.cancel":
            self.ended.set()
        if call.method in CHANGING:
            threading.Thread(target=self._work, args=(call, responder)).start()
        else:
            responder.result(self.answers.get(call.method) or answer(call))

    def _work(self, call: Call, responder: Responder) -> None:
        if self._waits and not self.steps:
            self.report.wait(10)
            responder.progress(STEP)
        for step in self.steps:
            responder.progress(step)
        if self._waits:
            self.ended.wait(10)
        if self._waits and not self._finishes:
            responder.error(BibdError("migration 000004_add_orders was cancelled", "nothing of it was kept"))
        else:
            responder.result(self.answers.get(call.method) or answer(call))

    @property
    def changed(self) -> list[object]:
        return [params for method, params in self.calls if method in CHANGING]


@pytest.fixture
def migrator(socket_path: Path) -> Iterator[Migrator]:
    handle = Migrator(steps=(STEP, {**STEP, "statement": 2, "text": "CREATE INDEX"}, LAST))
    with serving(socket_path, handle):
        yield handle


# -- what is asked of the daemon


@pytest.mark.parametrize(
    ("words", "params"),
    [
        ("", MigrateParams("up")),
        ("up", MigrateParams("up")),
        ("up 3", MigrateParams("up", count=3)),
        ("up --adopt", MigrateParams("up", adopt=True)),
        ("--adopt", MigrateParams("up", adopt=True)),
        ("down 2 --force", MigrateParams("down", count=2)),
        ("down 2 --yes", MigrateParams("down", count=2)),
        ("goto 0 -y", MigrateParams("goto", version=0)),
        ("goto 20260131120000 --force", MigrateParams("goto", version=20260131120000)),
        ("force 5 --force", ForceParams(5)),
    ],
)
def test_the_words_are_the_goal(migrator: Migrator, bib: Bib, words: str, params: object) -> None:
    assert bib("admin", "migrate", *words.split()).code == 0
    assert migrator.changed == [params]


@pytest.mark.parametrize("words", ["up", "up 1 --adopt", "down 2", "down 2 --force", "goto 3", "plan down 2", ""])
@pytest.mark.parametrize("output", ["table", "json"])
def test_a_dry_run_prints_the_sql_in_order_and_changes_nothing(
    migrator: Migrator, bib: Bib, words: str, output: str
) -> None:
    shown = bib("admin", "migrate", *words.split(), "--dry-run", "-o", output)
    assert (shown.code, shown.err) == (0, "")
    assert [method for method, _ in migrator.calls] == ["migrate.plan"]
    if output == "json":
        assert [step["version"] for step in json.loads(shown.out)["steps"]] == [5, 4]
        return
    assert shown.out == (
        "-- 1/2 down 000005_by_day (1 statement, statement by statement, each on its own): among the newest 2 applied\n"
        "DROP INDEX CONCURRENTLY by_day;\n\n"
        "-- 2/2 down 000004_add_orders (1 statement, in one transaction): among the newest 2 applied\n"
        "DROP TABLE orders;\n"
    )


def test_a_dry_run_writes_sql_unchanged_except_to_a_terminal(
    migrator: Migrator, socket_path: Path, bib: Bib, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = "SELECT\t'\x1b[31m';"
    migrator.answers["migrate.plan"] = PlanReport((replace(FORWARD.steps[0], sql=sql),), None, ("000001_a\nDROP",))
    shown = bib("admin", "migrate", "up", "--dry-run", "--adopt").out
    assert shown.endswith(f"{sql}\n")
    assert shown.startswith("-- recorded as applied, not run: 000001_a DROP\n-- 1/1 up 000006_totals")
    monkeypatch.setenv("TERM", "xterm")
    with Terminal([*BIB, "admin", "migrate", "up", "--dry-run"]) as terminal:
        terminal.expect(b"SELECT\t'\\x1b[31m';")
    assert socket_path.exists()


def test_a_plan_says_what_why_and_what_is_dumped(migrator: Migrator, bib: Bib) -> None:
    shown = bib("admin", "migrate", "plan", "down", "2")
    assert migrator.calls == [("migrate.plan", MigrateParams("down", count=2))]
    assert re.search(r"down +000005_by_day +1 +no +among the newest 2 applied", shown.out)
    assert shown.out.endswith(f"dumped to a restore point in {RESTORE_POINTS}\n")
    assert len(json.loads(bib("admin", "migrate", "plan", "-o", "json").out)["steps"]) == 2
    migrator.answers["migrate.plan"] = PlanReport(())
    assert bib("admin", "migrate", "plan").out == "nothing to do\n"
    assert bib("admin", "migrate", "up", "--dry-run").out == "-- nothing to do\n"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("--dry-run up", "'up' would have no effect"),
        ("--reset status", "--reset before 'status'"),
        ("--force down 1", "--force before 'down'"),
        ("--force", "--force has no effect on up"),
        ("--reset --adopt", "--adopt has no effect on --reset"),
        ("plan down", "down needs a number"),
        ("plan up 0", "up 0 does nothing"),
        ("plan goto 3 --adopt", "--adopt has no effect on goto"),
        ("up --force", "--force"),
    ],
)
def test_words_without_an_effect_are_a_usage_error(migrator: Migrator, bib: Bib, words: str, text: str) -> None:
    shown = bib("admin", "migrate", *words.split())
    assert (shown.code, shown.out) == (2, "")
    assert text in shown.err
    assert migrator.calls == []


def test_shared_options_before_a_command_hold_for_it(home: Path, bib: Bib) -> None:
    with serving(home / "other.sock"):
        shown = bib("admin", "migrate", "--socket", str(home / "other.sock"), "-o", "json", "status")
    assert json.loads(shown.out)["version"] == 5


# -- what is shown


def test_status_lists_every_migration(migrator: Migrator, bib: Bib) -> None:
    lines = bib("admin", "migrate", "status").out.splitlines()
    assert lines[:4] == [
        "Migration State: dirty (version 5, 1 pending)",
        f"Action: {ACTION}",
        "Table: bibd.schema_migrations",
        "Path: /srv/app/migrations",
    ]
    assert re.fullmatch(r"000004_add_orders +applied +2026-01-31 12:00:00 +bibd +2 +yes +4{12}", lines[6])
    assert re.fullmatch(r"000005_by_day +dirty +- +bibd +3 +no +5{12}", lines[7])
    assert re.fullmatch(r"000006_totals +pending +- +- +1 +yes +6{12}", lines[8])
    migrator.answers["migrate.status"] = MigrationReport("clean", 0, 0, "bibd.schema_migrations", None, None, ())
    assert bib("admin", "migrate", "status").out.splitlines() == [
        "Migration State: clean (version 0)",
        "Table: bibd.schema_migrations",
        "Path: none: set database.migrations.path",
    ]


def test_a_run_reports_each_statement_on_stderr_and_the_restore_point_on_stdout(migrator: Migrator, bib: Bib) -> None:
    shown = bib("admin", "migrate", "up")
    assert shown.err.splitlines() == [
        "up 000004_add_orders 1/2: CREATE TABLE orders (id bigint)",
        "up 000004_add_orders 2/2: CREATE INDEX",
        "up 000004_add_orders 2/2 done",
    ]
    assert shown.out.splitlines() == [
        "ran: 000005_by_day",
        f"restore point: {RESTORE_POINT}",
        "Migration State: pending (version 3, 2 pending)  1 run in 0.25 s",
    ]
    migrator.answers["migrate.run"] = RunReport("clean", 6, 0, (), (), 0.0, "18", ("000001_a",))
    assert bib("admin", "migrate").out == "adopted: 000001_a\nMigration State: clean (version 6)\n"
    migrator.answers["migrate.run"] = RunReport("clean", 6, 0, (), (), 0.0, "18")
    assert bib("admin", "migrate").out == "nothing to do\nMigration State: clean (version 6)\n"


@pytest.mark.usefixtures("migrator")
@pytest.mark.parametrize("words", ["up", "down 1 --force", "--reset --force", "force 5 --force", "status", "plan"])
def test_json_is_one_object_and_nothing_else(bib: Bib, words: str) -> None:
    shown = bib("admin", "migrate", *words.split(), "-o", "json")
    assert (shown.code, shown.err) == (0, "")
    assert len(shown.out.splitlines()) == 1
    assert isinstance(json.loads(shown.out), dict)


def test_a_line_of_progress_is_one_line_of_bounded_length_without_control_characters() -> None:
    blocked = {**STEP, "text": "SELECT '\x1b[31m'" + "x" * 1000, "state": "retrying", "detail": "try 2\nof 5"}
    shown = line(blocked)
    assert shown.startswith("up 000004_add_orders 1/2 retrying: try 2 of 5; SELECT '\\x1b[31m'xxx")
    assert len(shown) < 150
    dump = {**STEP, "direction": "down", "statement": 0, "text": "", "state": "restore point", "detail": "/x.dump"}
    assert line(dump) == "down 000004_add_orders restore point: /x.dump"
    waiting = {**STEP, "name": "", "version": 0, "statement": 0, "statements": 0, "text": ""}
    assert line({**waiting, "state": "waiting for lock", "detail": "pid 7"}) == "waiting for lock: pid 7"


def test_a_terminal_gets_a_bar_that_is_gone_at_the_end(
    socket_path: Path, migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with Terminal([*BIB, "admin", "migrate", "up"]) as terminal:
        assert terminal.exit_code() == 0
    assert b"000004_add_orders" in terminal.seen
    assert b"2/2" in terminal.seen
    assert b"Traceback" not in terminal.seen
    assert terminal.seen.rstrip().endswith(b"(version 3, 2 pending)  1 run in 0.25 s")
    assert len(migrator.changed) == 1
    assert socket_path.exists()


def test_the_daemons_error_keeps_its_exit_code(socket_path: Path, bib: Bib) -> None:
    def handle(_: Call, responder: Responder) -> None:
        responder.error(IntegrityError("migration 000004_add_orders was changed after it had been applied"))

    with serving(socket_path, handle):
        assert bib("admin", "migrate", "up").code == 5
        assert bib("admin", "migrate", "down", "1").code == 5


def test_without_a_daemon_the_exit_code_is_3(socket_path: Path, bib: Bib) -> None:
    assert bib("admin", "migrate").code == 3
    assert bib("admin", "migrate", "--reset").code == 3
    assert not socket_path.exists()


# -- what is asked of the person


@pytest.mark.parametrize("words", ["down 2", "goto 3", "force 4", "--reset"])
@pytest.mark.parametrize("output", ["table", "json"])
def test_without_a_terminal_and_without_force_it_is_refused_with_what_it_would_do(
    migrator: Migrator, bib: Bib, words: str, output: str
) -> None:
    shown = bib("admin", "migrate", *words.split(), "-o", output)
    assert (shown.code, shown.out, migrator.changed) == (4, "", [])
    said = json.loads(shown.err)["error"]["message"] if output == "json" else shown.err
    assert said.startswith("error: refused without --force" if output == "table" else "refused without --force")
    if words in ("down 2", "goto 3"):
        assert "this undoes 2 migrations:\n  000005_by_day\n  000004_add_orders\n" in said
        assert RESTORE_POINTS in said
    elif words == "force 4":
        assert "no restore point is made\n  recorded as not applied: 000005_by_day" in said
    else:
        assert "The index by_day is INVALID.\nIt is dropped and built again." in said


@pytest.mark.parametrize(
    ("words", "key", "code"),
    [
        ("down 2", b"y\r", 0),
        ("down 2", b"n\r", 4),
        ("down 2", b"\r", 4),
        ("down 2", b"\x03", 130),
        ("down 2", b"\x04", 130),
        ("goto 3", b"y\r", 0),
        ("goto 3", b"n\r", 4),
        ("force 4", b"y\r", 0),
        ("force 4", b"n\r", 4),
        ("--reset", b"y\r", 0),
        ("--reset", b"n\r", 4),
    ],
)
def test_a_person_decides(migrator: Migrator, words: str, key: bytes, code: int) -> None:
    with Terminal([*BIB, "admin", "migrate", *words.split()]) as terminal:
        terminal.expect(b"[y/N]:")
        terminal.type(key)
        assert terminal.exit_code() == code
    assert len(migrator.changed) == (code == 0)
    assert (b"nothing was changed" in terminal.seen) == (code == 4)


def test_json_never_asks_not_even_on_a_terminal(migrator: Migrator) -> None:
    with Terminal([*BIB, "admin", "migrate", "down", "2", "-o", "json"]) as terminal:
        assert terminal.exit_code() == 4
    assert b"[y/N]" not in terminal.seen
    assert migrator.changed == []


def test_going_forward_asks_nothing(migrator: Migrator, bib: Bib) -> None:
    migrator.answers["migrate.plan"] = FORWARD
    assert bib("admin", "migrate", "goto", "6").code == 0
    assert migrator.changed == [MigrateParams("goto", version=6)]


def test_force_says_what_it_records(migrator: Migrator, bib: Bib) -> None:
    shown = bib("admin", "migrate", "force", "6", "--dry-run")
    assert shown.out == (
        "this records version 6 and runs nothing; no restore point is made\n"
        "  recorded as applied: 000005_by_day\n"
        "  recorded as applied: 000006_totals\n"
    )
    as_json = json.loads(bib("admin", "migrate", "force", "4", "--dry-run", "-o", "json").out)
    assert as_json == {"version": 4, "recorded": [], "forgotten": ["000005_by_day"]}
    assert migrator.changed == []


def test_a_reset_explains_itself_first(migrator: Migrator, bib: Bib) -> None:
    explained = bib("admin", "migrate", "--reset", "--dry-run")
    assert explained.out == "The index by_day is INVALID.\nIt is dropped and built again.\n"
    assert json.loads(bib("admin", "migrate", "--reset", "--dry-run", "-o", "json").out)["possible"] is True
    assert migrator.changed == []
    forced = bib("admin", "migrate", "--reset", "--force")
    assert forced.err.startswith(explained.out)
    assert len(migrator.changed) == 1


@pytest.mark.parametrize(("state", "code"), [("clean", 0), ("dirty", 1)])
def test_a_reset_that_is_not_possible_changes_nothing(migrator: Migrator, bib: Bib, state: str, code: int) -> None:
    migrator.answers["migrate.explain_reset"] = ResetReport(state, "It cannot be told what happened.", possible=False)
    shown = bib("admin", "migrate", "--reset", "--force")
    assert (shown.code, shown.out) == (code, "It cannot be told what happened.\n")
    assert migrator.changed == []


# -- Ctrl-C


def bib_running(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*BIB, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.readline()


def wait_for_call(handle: Migrator) -> None:
    """By then its signal handler is in place."""
    deadline = time.monotonic() + 10
    while not handle.calls:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_ctrl_c_cancels_in_the_daemon_and_waits_for_its_end(socket_path: Path) -> None:
    handle = Migrator(waits=True, steps=(STEP,))
    with serving(socket_path, handle):
        process = bib_running("admin", "migrate", "up")
        assert "1/2" in next_line(process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines() == [
        "Ctrl-C: cancelling; once more leaves at once",
        "operation 17 is being cancelled",
        "error: migration 000004_add_orders was cancelled",
        "HINT: nothing of it was kept",
    ]
    assert handle.calls[-1] == ("ops.cancel", OperationParams("17"))


def test_ctrl_c_on_a_terminal_leaves_it_as_it_was(socket_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with (
        serving(socket_path, Migrator(waits=True, steps=(STEP,))),
        Terminal([*BIB, "admin", "migrate", "up"]) as terminal,
    ):
        terminal.expect(b"000004_add_orders")
        terminal.type(b"\x03")
        assert terminal.exit_code() == 130
    assert b"operation 17 is being cancelled" in terminal.seen
    assert terminal.seen.rindex(b"\x1b[?25h") > terminal.seen.rindex(b"\x1b[?25l")  # the cursor is back
    assert b"Traceback" not in terminal.seen


def test_ctrl_c_before_the_first_report_cancels_as_soon_as_it_comes(socket_path: Path) -> None:
    handle = Migrator(waits=True)
    with serving(socket_path, handle):
        process = bib_running("admin", "migrate", "up")
        wait_for_call(handle)
        process.send_signal(signal.SIGINT)
        assert next_line(process).startswith("Ctrl-C")
        handle.report.set()
        process.communicate(timeout=10)
    assert process.returncode == 130
    assert handle.calls[-1] == ("ops.cancel", OperationParams("17"))


def test_a_second_ctrl_c_leaves_at_once_and_the_daemon_goes_on(socket_path: Path) -> None:
    class Deaf(Migrator):
        def __call__(self, call: Call, responder: Responder) -> None:
            if call.method == "ops.cancel":
                responder.result(Operation("17", "migrate", "cancelling", START, None, "migrator"))
            else:
                super().__call__(call, responder)

    handle = Deaf(waits=True, steps=(STEP,))
    with serving(socket_path, handle):
        process = bib_running("admin", "migrate", "up")
        next_line(process)
        process.send_signal(signal.SIGINT)
        assert next_line(process).startswith("Ctrl-C")
        assert next_line(process) == "operation 17 is being cancelled\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
        assert not handle.ended.is_set()
        handle.ended.set()
    assert process.returncode == 130
    assert err == "left; the daemon goes on with it. See: bib admin ops list\n"


def test_a_cancellation_that_comes_too_late_is_a_success(socket_path: Path) -> None:
    handle = Migrator(waits=True, finishes=True, steps=(STEP,))
    with serving(socket_path, handle):
        process = bib_running("admin", "migrate", "up", "-o", "json")
        wait_for_call(handle)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (0, "")
    assert json.loads(out)["operation"] == "17"


def test_an_ignored_interrupt_stays_ignored(socket_path: Path) -> None:
    handle = Migrator(waits=True, finishes=True, steps=(STEP,))
    with serving(socket_path, handle):
        command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *BIB, "admin", "migrate"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        next_line(process)
        process.send_signal(signal.SIGINT)
        handle.ended.set()
        assert process.communicate(timeout=10)[1] == ""
    assert process.returncode == 0
    assert [method for method, _ in handle.calls] == ["migrate.run"]
