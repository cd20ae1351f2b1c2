"""First start, adoption, stop, and what a running server looks like from outside."""

from __future__ import annotations

import os
import subprocess
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from bibd.errors import BibdError
from bibd.postgres.endpoint import Endpoint
from bibd.postgres.spec import ServerSpec
from tests.postgres.scenario import processes_of, query, server_of, start


def test_first_start_makes_a_server_that_the_owner_can_use(fresh: ServerSpec) -> None:
    server = server_of(fresh)
    running = start(server)

    assert not running.adopted
    assert running.note == ""
    assert server.alive()
    query(server.app(), "CREATE TABLE t (x int)")
    settings = dict(query(server.app(), "SELECT name, setting FROM pg_settings"))
    assert settings["data_checksums"] == "on"
    assert settings["password_encryption"] == "scram-sha-256"
    assert settings["server_encoding"] == "UTF8"
    assert settings["listen_addresses"] == "127.0.0.1"
    assert int(settings["port"]) == running.port
    assert query(server.app(), "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = 'bibd'") == [
        (False, False, False)
    ]
    assert query(server.app(), "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'bibd'") == [("bibd",)]
    assert query(server.admin(), "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") == [(True,)]


def test_strings_sort_by_code_point_on_every_machine(prepared: ServerSpec) -> None:
    server = server_of(prepared)
    start(server)
    rows = query(server.app(), "SELECT x FROM (VALUES ('b'), ('a'), ('B'), ('é'), ('z')) v(x) ORDER BY x")
    assert [row[0] for row in rows] == ["B", "a", "b", "z", "é"]


def test_everything_is_closed_to_others(prepared: ServerSpec) -> None:
    start(server_of(prepared))
    root = prepared.root
    account = prepared.data.stat().st_uid
    for directory in (root / "postgres", prepared.data, prepared.run, prepared.certs):
        assert (directory.stat().st_mode & 0o777, directory.stat().st_uid) == (0o700, account), directory
    for file in (prepared.data / "postgresql.conf", prepared.data / "pg_hba.conf", prepared.log_file):
        assert file.stat().st_mode & 0o777 == 0o600, file
    assert prepared.service_file.stat().st_mode & 0o777 == 0o600
    assert (root / "secrets/db.enc").stat().st_mode & 0o777 == 0o600
    if os.geteuid() == 0:
        assert account != 0
        assert (root.stat().st_mode & 0o777, root.stat().st_gid) == (0o710, prepared.data.stat().st_gid)


def test_second_start_adopts_the_running_server(prepared: ServerSpec) -> None:
    first = start(server_of(prepared))
    again = server_of(prepared)
    second = start(again)
    assert second.adopted
    assert (second.pid, second.port, second.version) == (first.pid, first.port, first.version)
    assert again.alive()
    assert query(again.app(), "SELECT 1") == [(1,)]


def test_ensure_is_idempotent(prepared: ServerSpec) -> None:
    server = server_of(prepared)
    pids = {start(server).pid for _ in range(3)}
    assert len(pids) == 1


def test_server_is_in_a_session_of_its_own_without_our_environment(
    prepared: ServerSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGDATA", "/nowhere")
    monkeypatch.setenv("BIBD_CANARY", "secret")
    pid = start(server_of(prepared)).pid
    assert os.getsid(pid) == pid
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    names = {entry.partition(b"=")[0] for entry in environment if entry}
    assert b"PATH" in names
    assert not names & {b"PGDATA", b"BIBD_CANARY", b"HOME"}


def test_stop_is_clean_and_leaves_no_process(prepared: ServerSpec) -> None:
    server = server_of(prepared)
    start(server)
    result = server.stop(30)
    assert (result.how, result.clean) == ("fast", True)
    assert not server.alive()
    assert processes_of(prepared.root) == []
    assert server.stop(30).how == "absent"


def test_stop_ends_a_server_that_another_object_started(prepared: ServerSpec) -> None:
    start(server_of(prepared))
    assert server_of(prepared).stop(30).how == "fast"
    assert processes_of(prepared.root) == []


def test_immediate_stop_is_reported_as_not_clean(prepared: ServerSpec) -> None:
    server = server_of(prepared)
    start(server)
    result = server.stop(30, immediate=True)
    assert (result.how, result.clean) == ("immediate", False)
    assert start(server).pid
    assert server.stop(30).clean


def test_stop_goes_on_to_immediate_when_fast_takes_too_long(prepared: ServerSpec) -> None:
    server = server_of(prepared)
    running = start(server)
    os.kill(running.pid, 19)  # SIGSTOP: it cannot react to SIGINT
    result = server.stop(0.2)
    assert result.how == "immediate"
    assert processes_of(prepared.root) == []


def test_port_zero_is_kept_over_restarts(prepared: ServerSpec) -> None:
    server = server_of(prepared)
    first = start(server).port
    server.stop(30)
    assert start(server_of(prepared)).port == first


def test_settings_of_the_operator_are_applied_and_win(prepared: ServerSpec) -> None:
    spec = replace(prepared, settings={"work_mem": "7MB", "log_lock_waits": False, "bibd.note": "it's \\ \n 'ü'"})
    server = server_of(spec)
    start(server)
    assert query(server.app(), "SHOW work_mem") == [("7MB",)]
    assert query(server.app(), "SHOW log_lock_waits") == [("off",)]
    assert query(server.app(), "SHOW bibd.note") == [("it's \\ \n 'ü'",)]


def test_changed_settings_are_reloaded_into_a_running_server(prepared: ServerSpec) -> None:
    start(server_of(prepared))
    server = server_of(replace(prepared, settings={"work_mem": "9MB"}, max_connections=50))
    running = start(server)
    assert running.adopted
    assert "restart needed for: max_connections" in running.note
    assert query(server.app(), "SHOW work_mem") == [("9MB",)]


def test_wrong_setting_on_a_running_server_is_named_and_changes_nothing(prepared: ServerSpec) -> None:
    start(server_of(prepared))
    server = server_of(replace(prepared, settings={"work_mem": "plenty"}))
    running = start(server)
    assert "setting work_mem not applied" in running.note
    assert query(server.app(), "SHOW work_mem") == [("4MB",)]


def test_wrong_setting_at_start_says_the_log_and_leaves_nothing_running(prepared: ServerSpec) -> None:
    with pytest.raises(BibdError) as caught:
        start(server_of(replace(prepared, settings={"work_mem": "plenty"})))
    assert "work_mem" in caught.value.message
    assert "database.postgres.settings" in caught.value.hint
    assert processes_of(prepared.root) == []


def test_service_file_leads_psql_to_the_database(prepared: ServerSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    start(server_of(prepared))
    monkeypatch.setenv("PGSERVICEFILE", str(prepared.service_file))
    with psycopg.connect("service=bibd") as session:
        assert session.info.dbname == "bibd"


def test_url_leads_to_the_database(prepared: ServerSpec) -> None:
    server = server_of(prepared)
    start(server)
    with psycopg.connect(server.app().url()) as session:
        assert session.info.user == "bibd"


def test_nobody_enters_without_a_password_and_the_superuser_not_by_tcp(prepared: ServerSpec) -> None:
    server = server_of(prepared)
    running = start(server)
    admin = server.admin()
    for host in (str(prepared.run), "127.0.0.1"):
        with pytest.raises(psycopg.OperationalError, match=r"no password supplied|password authentication failed"):
            psycopg.connect(host=host, port=running.port, user="bibd", dbname="bibd", password="", passfile="/dev/null")
    with pytest.raises(psycopg.OperationalError, match=r"pg_hba\.conf rejects connection"):
        query(Endpoint("127.0.0.1", running.port, "postgres", "postgres", admin.password), "SELECT 1")
    assert query(admin, "SELECT DISTINCT auth_method FROM pg_hba_file_rules ORDER BY 1") == [
        ("reject",),
        ("scram-sha-256",),
    ]


def test_passwords_are_in_no_log_and_no_process(fresh: ServerSpec) -> None:
    server = server_of(fresh)
    seen: dict[tuple[int, bytes], bytes] = {}
    finished = threading.Event()

    def watch() -> None:
        while not finished.wait(0.002):
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit():
                    with suppress(OSError):
                        words = (entry / "cmdline").read_bytes()
                        if (int(entry.name), words) not in seen:
                            seen[int(entry.name), words] = words + (entry / "environ").read_bytes()

    watcher = threading.Thread(target=watch)
    watcher.start()
    said: list[str] = []
    try:
        start(server, said)
    finally:
        finished.set()
        watcher.join()
    assert any(b"initdb" in words for _, words in seen), "the watcher was too slow to prove anything"
    endpoints = (server.admin(), server.app())
    everything = b"".join(seen.values()) + fresh.log_file.read_bytes() + repr((endpoints, said)).encode()
    for endpoint in endpoints:
        assert len(endpoint.password) >= 43  # 256 bits in base64
        assert endpoint.password.encode() not in everything
    left = subprocess.run(
        ["grep", "-rlF", server.admin().password, str(fresh.root)], capture_output=True, text=True, check=False
    )
    assert left.stdout.split() == []
