"""``bib admin ...`` against a real admin socket."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bibd.admin.call import Call, Responder
from bibd.admin.schema import HealthCheck, HealthReport, PingReport, ReloadReport, ShutdownReport
from bibd.errors import IntegrityError, RefusedError
from tests.admin.fake_daemon import ACTION, ANSWERS, URL, node_status, serving
from tests.cli.conftest import Bib


def answering(value: object) -> Any:
    def handle(_: Call, responder: Responder) -> None:
        responder.result(value)

    return handle


@pytest.mark.usefixtures("daemon")
def test_status_shows_the_node_and_its_tree(bib: Bib) -> None:
    shown = bib("admin", "status")
    assert (shown.code, shown.err) == (0, "")
    lines = shown.out.splitlines()
    assert lines[0] == f"Node State: ready  pid {os.getpid()}  mode full  backend postgres (embedded)"
    assert lines[lines.index("Migration State: dirty (version 5, 1 pending)") + 1] == f"Action: {ACTION}"
    assert any(line.startswith("Started: 2026-01-31 12:00:00 UTC, ready after 1.25 s") for line in lines)
    assert any(re.fullmatch(r"health +ready +3 +2 +- +- +connection refused .*", line) for line in lines)
    provisioner = next(number for number, line in enumerate(lines) if line.startswith("provisioner"))
    assert re.fullmatch(r"  postgres +ready +1 +0 +1\.25 s +12:00:01 +-", lines[provisioner + 1])


@pytest.mark.usefixtures("daemon")
def test_control_characters_of_an_error_do_not_reach_the_terminal(bib: Bib) -> None:
    assert "\x1b" not in bib("admin", "status").out


@pytest.mark.usefixtures("daemon")
def test_status_as_json_is_the_stable_object(bib: Bib) -> None:
    status = json.loads(bib("admin", "status", "-o", "json").out)
    assert status["migrations"] == {"state": "dirty", "version": 5, "pending": 1, "action": ACTION}
    assert status["children"][3]["restarts"] == 2
    assert status["shutdown"] is None


@pytest.mark.parametrize("state", ["starting", "degraded", "draining", "failed"])
def test_status_of_a_node_that_is_not_ready_succeeds(socket_path: Path, bib: Bib, state: str) -> None:
    with serving(socket_path, answering(node_status(state))):
        shown = bib("admin", "status")
    assert shown.code == 0
    assert shown.out.startswith(f"Node State: {state}")
    assert "ready after" not in shown.out


def test_status_copes_with_what_is_not_known_yet(socket_path: Path, bib: Bib) -> None:
    early = node_status("starting")
    early = replace(
        early,
        node_id=None,
        runtime=None,
        children=(),
        database=replace(early.database, version=None, url=None, last_probe=None),
        migrations=replace(early.migrations, version=None),
        backups=replace(early.backups, next="2026-02-01T02:00:00Z"),
        shutdown=ShutdownReport("2026-01-30T12:00:00Z", 1.5, "SIGTERM", clean=True),
    )
    with serving(socket_path, answering(early)):
        shown = bib("admin", "status")
    assert shown.code == 0
    assert "(version none, 1 pending)" in shown.out
    assert "Backups: none yet  next 2026-02-01 02:00:00 UTC" in shown.out
    assert "Last Shutdown: clean  SIGTERM  2026-01-30 12:00:00 UTC, 1.5 s" in shown.out


@pytest.mark.usefixtures("daemon")
def test_health_of_a_healthy_node_exits_with_0(bib: Bib) -> None:
    shown = bib("admin", "health")
    assert shown.code == 0
    assert re.search(r"query +ok +0\.002 +select 1", shown.out)


@pytest.mark.parametrize("output", ["table", "json"])
def test_health_of_an_unhealthy_node_exits_with_1(socket_path: Path, bib: Bib, output: str) -> None:
    report = HealthReport(False, "degraded", (HealthCheck("query", False, "timeout", 5.0),))
    with serving(socket_path, answering(report)):
        shown = bib("admin", "health", "-o", output)
    assert shown.code == 1
    assert "degraded" in shown.out
    assert shown.err == ""


@pytest.mark.usefixtures("daemon")
def test_db_ping_tells_the_time(bib: Bib) -> None:
    assert bib("admin", "db", "ping").out == "the database answers in 1.2 ms: 18.6\n"


def test_db_ping_of_a_dead_database_exits_with_1(socket_path: Path, bib: Bib) -> None:
    with serving(socket_path, answering(PingReport(False, 5.0, ""))):
        assert bib("admin", "db", "ping").code == 1
        assert bib("admin", "db", "ping", "-o", "json").code == 1


@pytest.mark.usefixtures("daemon")
def test_db_url_prints_the_url_and_nothing_else(bib: Bib) -> None:
    assert bib("admin", "db", "url").out == f"{URL}\n"
    service = bib("admin", "db", "url", "--service").out
    assert service == "export PGSERVICEFILE='/data dir/pg_service.conf' PGSERVICE=bibd\n"
    assert "s3cret" not in service


@pytest.mark.usefixtures("daemon")
def test_ops_list_shows_progress(bib: Bib) -> None:
    assert re.search(r"17 +backup +running +25% +2026-01-31 12:00:00 +backup", bib("admin", "ops", "list").out)


@pytest.mark.usefixtures("daemon")
def test_ops_cancel_names_the_operation(bib: Bib) -> None:
    assert bib("admin", "ops", "cancel", "17").out == "operation 17 (migrate): cancelling\n"
    assert bib("admin", "ops", "cancel").code == 2


def test_ops_list_of_none_says_so(socket_path: Path, bib: Bib) -> None:
    with serving(socket_path, answering([])):
        assert bib("admin", "ops", "list").out == "no operations\n"
        assert json.loads(bib("admin", "ops", "list", "-o", "json").out) == []


@pytest.mark.usefixtures("daemon")
def test_reload_names_what_changed_and_what_needs_a_restart(bib: Bib) -> None:
    assert bib("admin", "reload").out.splitlines() == [
        "warning: p2p.mdns has no effect",
        "changed: log.level",
        "needs a restart: database.postgres.port",
    ]


def test_reload_of_an_unchanged_file_says_so(socket_path: Path, bib: Bib) -> None:
    with serving(socket_path, answering(ReloadReport((), (), ()))):
        assert bib("admin", "reload").out == "nothing has changed\n"


@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["health"],
        ["db", "ping"],
        ["db", "url"],
        ["ops", "list"],
        ["ops", "cancel", "17"],
        ["reload"],
        ["shutdown", "--no-wait"],
    ],
)
def test_every_command_speaks_json(socket_path: Path, bib: Bib, command: list[str]) -> None:
    with serving(socket_path):
        shown = bib("admin", *command, "--output=json")
    assert (shown.code, shown.err) == (0, "")
    value = json.loads(shown.out)
    assert isinstance(value, list if command == ["ops", "list"] else dict)
    assert len(shown.out.splitlines()) == 1


def test_shutdown_passes_force_on(socket_path: Path, bib: Bib) -> None:
    with serving(socket_path):
        assert json.loads(bib("admin", "shutdown", "--force", "--no-wait", "-o", "json").out)["force"] is True
        assert bib("admin", "shutdown", "--no-wait").out == f"bibd (pid {os.getpid()}) is stopping\n"


def test_shutdown_that_takes_too_long_fails_with_the_pid(socket_path: Path, bib: Bib) -> None:
    with serving(socket_path):
        shown = bib("admin", "shutdown", "--timeout", "0.2")
    assert shown.code == 1
    assert f"pid {os.getpid()}) still runs" in shown.err


@pytest.mark.parametrize(("error", "code"), [(RefusedError("a backup runs", "--force"), 4), (IntegrityError("bad"), 5)])
def test_the_daemons_errors_keep_their_exit_code(socket_path: Path, bib: Bib, error: Any, code: int) -> None:
    def handle(_: Call, responder: Responder) -> None:
        responder.error(error)

    with serving(socket_path, handle):
        shown = bib("admin", "shutdown")
        assert (shown.code, shown.out) == (code, "")
        assert shown.err.startswith(f"error: {error.message}\n")
        as_json = bib("admin", "shutdown", "-o", "json")
    assert json.loads(as_json.err) == {"error": {"message": error.message, "hint": error.hint, "exit_code": code}}


def test_without_a_daemon_the_exit_code_is_3(socket_path: Path, bib: Bib) -> None:
    shown = bib("admin", "status")
    assert (shown.code, shown.out) == (3, "")
    assert shown.err == f"error: no daemon answers on {socket_path}\nHINT: start it with: bibd\n"


def test_the_socket_is_found_from_the_configuration(home: Path, bib: Bib) -> None:
    path = home / "elsewhere.sock"
    config = home / "c.yaml"
    config.write_text(f"admin: {{socket: {path}}}\n")
    with serving(path):
        assert bib("admin", "db", "ping", "--config", str(config)).code == 0
    with serving(home / "admin.sock"):
        config.write_text(f"server: {{data_dir: {home}}}\n")
        assert bib("admin", "db", "ping", "--config", str(config)).code == 0
    config.write_text("server: {data_dri: /x}\n")
    assert bib("admin", "db", "ping", "--config", str(config)).code == 78


def test_the_socket_option_wins(home: Path, socket_path: Path, bib: Bib) -> None:
    with serving(home / "other.sock"):
        assert bib("admin", "db", "ping").code == 3
        assert bib("admin", "db", "ping", "--socket", str(home / "other.sock")).code == 0
    assert socket_path.name == "admin.sock"


def test_no_secret_is_in_the_status(bib: Bib, socket_path: Path) -> None:
    with serving(socket_path):
        assert "s3cret" not in bib("admin", "status", "-o", "json").out
    assert "s3cret" in str(ANSWERS["db.url"])
