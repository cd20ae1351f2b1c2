"""What a start finds after something went wrong, and that it names it."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from bibd.errors import BibdError, ConfigError, IntegrityError
from bibd.postgres.account import choose
from bibd.postgres.postmaster import find_process
from bibd.postgres.spec import ServerSpec
from tests.postgres.scenario import processes_of, query, server_of, spec_of, start, until, vault_of


def test_committed_rows_survive_kill_9_of_the_postmaster(prepared: ServerSpec) -> None:
    server = server_of(prepared)
    first = start(server)
    query(server.app(), "CREATE TABLE survivor AS SELECT 42 AS x")
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: not server.alive(), "the postmaster is gone")

    second = start(server)

    assert second.pid != first.pid
    assert (second.adopted, second.port) == (False, first.port)
    assert "stale PID file" in second.note or "postmaster was dead" in second.note
    assert query(server.app(), "SELECT x FROM survivor") == [(42,)]


def test_busy_backend_of_a_dead_postmaster_is_ended_before_the_next_start(prepared: ServerSpec) -> None:
    server = server_of(prepared)
    first = start(server)
    with psycopg.connect(server.app().url(), autocommit=True) as session:
        backend = session.info.backend_pid

        def spin() -> None:
            with pytest.raises(psycopg.OperationalError):
                session.execute("DO $$ BEGIN LOOP NULL; END LOOP; END $$")

        busy = threading.Thread(target=spin)
        busy.start()
        until(lambda: _cpu_ticks(backend) > 2, "the backend computes")
        os.kill(first.pid, signal.SIGKILL)
        until(lambda: not server.alive(), "the postmaster is gone")
        second = start(server)
        busy.join(10)
        assert not busy.is_alive()
    assert "the postmaster was dead, its processes have ended" in second.note
    assert str(backend) in second.note
    assert find_process(backend) is None


def _cpu_ticks(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[11])


def test_stale_pid_file_is_recognised_and_named(prepared: ServerSpec) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    _write_pid_file(prepared, gone.pid)
    running = start(server_of(prepared))
    assert f"stale PID file: process {gone.pid} is gone" in running.note


def test_recycled_pid_of_the_same_account_is_recognised_and_the_file_removed(prepared: ServerSpec) -> None:
    account = choose(prepared.data, euid=os.geteuid())
    other = subprocess.Popen(
        ["sleep", "60"],
        user=account.uid if account.switch else None,
        group=account.gid if account.switch else None,
        extra_groups=[] if account.switch else None,
    )
    try:
        _write_pid_file(prepared, other.pid)
        running = start(server_of(prepared))
        assert f"its process id {other.pid} was recycled" in running.note
        assert other.poll() is None, "a stranger must not be touched"
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("content", ["", "\n", "nonsense\n", "0\n"])
def test_damaged_pid_file_keeps_no_server_from_starting(prepared: ServerSpec, content: str) -> None:
    path = prepared.data / "postmaster.pid"
    path.write_text(content)
    shutil.chown(path, *_owner(prepared))
    assert "PID file" in start(server_of(prepared)).note


def test_postmaster_whose_pid_file_was_deleted_is_found_and_replaced(prepared: ServerSpec) -> None:
    server = server_of(prepared)
    first = start(server)
    (prepared.data / "postmaster.pid").unlink()
    again = server_of(prepared)
    second = start(again)
    assert f"orphaned postmaster (pid {first.pid}" in second.note
    assert second.pid != first.pid
    assert find_process(first.pid) is None


def test_server_that_still_starts_is_waited_for_and_adopted(prepared: ServerSpec) -> None:
    server = server_of(prepared)
    first = start(server)
    pid_file = prepared.data / "postmaster.pid"
    ready = pid_file.read_text()
    pid_file.write_text(ready.replace("ready   ", "starting"))
    result: list[object] = []
    said: list[str] = []
    waiter = threading.Thread(target=lambda: result.append(start(server_of(prepared), said)))
    waiter.start()
    until(lambda: any("starts or recovers" in line for line in said), "it waits")
    pid_file.write_text(ready)
    waiter.join(10)
    assert getattr(result[0], "pid", None) == first.pid
    assert getattr(result[0], "adopted", None) is True


def test_waiting_for_a_server_that_never_gets_ready_ends_at_the_timeout(prepared: ServerSpec) -> None:
    server = server_of(prepared)
    start(server)
    pid_file = prepared.data / "postmaster.pid"
    pid_file.write_text(pid_file.read_text().replace("ready   ", "starting"))
    with pytest.raises(BibdError, match="starts or recovers") as caught:
        start(server_of(replace(prepared, startup_timeout=0.3)))
    assert "startup_timeout" in caught.value.hint
    assert server.alive(), "it may be recovering: nobody stops it"


def test_port_in_use_is_named_with_its_holder_before_anything_is_made(fresh: ServerSpec) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(BibdError) as caught:
            start(server_of(replace(fresh, port=port)))
    assert caught.value.message.startswith(f"port {port} is already in use (pid {os.getpid()}, ")
    assert "set database.postgres.port, or stop the other server" in caught.value.hint
    assert not fresh.data.exists()


def test_kept_port_that_is_taken_later_is_an_error_not_another_port(prepared: ServerSpec) -> None:
    server = server_of(prepared)
    port = start(server).port
    server.stop(30)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(BibdError, match=f"port {port} is already in use"):
            start(server_of(prepared))


def test_parent_that_the_account_cannot_traverse_is_named(data_dir: Path) -> None:
    parent = data_dir.parent / "closed"
    parent.mkdir(mode=0o700 if os.geteuid() == 0 else 0o500)
    with pytest.raises(BibdError) as caught:
        start(server_of(spec_of(parent / "d")))
    assert caught.value.message.startswith("permission denied")
    assert str(parent) in caught.value.message
    assert caught.value.hint


def test_data_directory_of_another_major_version_is_refused_naming_both(prepared: ServerSpec) -> None:
    (prepared.data / "PG_VERSION").write_text("11\n")
    with pytest.raises(BibdError) as caught:
        start(server_of(prepared))
    assert "PostgreSQL 11" in caught.value.message
    assert "18." in caught.value.message
    assert "pg_upgrade" in caught.value.hint
    assert processes_of(prepared.root) == []


def test_directory_that_is_no_data_directory_is_left_alone(fresh: ServerSpec) -> None:
    fresh.data.mkdir(parents=True)
    (fresh.data / "thesis.tex").write_text("years of work")
    with pytest.raises(BibdError, match="not a PostgreSQL data directory"):
        start(server_of(fresh))
    assert (fresh.data / "thesis.tex").read_text() == "years of work"


def test_lost_vault_is_replaced_by_new_passwords(prepared: ServerSpec) -> None:
    server = server_of(prepared)
    start(server)
    query(server.app(), "CREATE TABLE keepsake AS SELECT 42 AS x")
    old = server.app().password
    server.stop(30)
    (prepared.root / "secrets/db.enc").unlink()

    again = server_of(prepared)
    running = start(again)

    assert "passwords were lost" in running.note
    assert again.app().password != old
    assert query(again.app(), "SELECT x FROM keepsake") == [(42,)]
    assert query(again.admin(), "SELECT 1") == [(1,)]


def test_lost_vault_of_a_running_server_restarts_it(prepared: ServerSpec) -> None:
    first = start(server_of(prepared))
    (prepared.root / "secrets/db.enc").unlink()
    server = server_of(prepared)
    running = start(server)
    assert running.pid != first.pid
    assert query(server.app(), "SELECT 1") == [(1,)]


def test_vault_of_another_server_is_made_true(prepared: ServerSpec) -> None:
    vault_of(prepared).put({"postgres/superuser": "other", "postgres/bibd": "another"})
    server = server_of(prepared)
    assert "did not know the passwords" in start(server).note
    assert query(server.app(), "SELECT 1") == [(1,)]


def test_missing_role_and_database_are_made_again(prepared: ServerSpec) -> None:
    server = server_of(prepared)
    start(server)
    query(server.admin(), "DROP DATABASE bibd WITH (FORCE)")
    query(server.admin(), "DROP ROLE bibd")
    running = start(server)
    assert "role bibd was missing" in running.note
    assert "database bibd was missing" in running.note
    assert query(server.app(), "SELECT current_user") == [("bibd",)]


def test_leftovers_of_a_killed_first_start_are_removed(fresh: ServerSpec) -> None:
    leftover = fresh.data.with_name("data.new.4242")
    (leftover / "base").mkdir(parents=True)
    (leftover.with_name("data.new.4242.pw")).write_text("x")
    start(server_of(fresh))
    assert [path.name for path in fresh.data.parent.glob("data.new*")] == []


def test_damaged_vault_is_an_error_that_names_the_file(fresh: ServerSpec) -> None:
    path = fresh.root / "secrets/db.enc"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(BibdError, match="damaged") as caught:
        start(server_of(fresh))
    assert str(path) in caught.value.message


def test_socket_path_that_is_too_long_is_named_before_anything_is_made(data_dir: Path) -> None:
    root = data_dir / ("x" * 100)
    with pytest.raises(BibdError, match="too long") as caught:
        start(server_of(spec_of(root)))
    assert "server.data_dir" in caught.value.hint
    assert not data_dir.exists()


def _owner(spec: ServerSpec) -> tuple[int, int]:
    status = spec.data.stat()
    return status.st_uid, status.st_gid


def _write_pid_file(spec: ServerSpec, pid: int) -> None:
    path = spec.data / "postmaster.pid"
    now = int(time.time())
    path.write_text(f"{pid}\n{spec.data}\n{now}\n5432\n{spec.run}\n127.0.0.1\n  12345    678\nready   \n")
    shutil.chown(path, *_owner(spec))
    path.chmod(0o600)


def test_data_directory_that_vanished_is_not_replaced_by_an_empty_one(prepared: ServerSpec) -> None:
    server = server_of(prepared)
    running = start(server)
    query(server.app(), "CREATE TABLE vanished AS SELECT 42 AS x")
    os.kill(running.pid, signal.SIGKILL)
    until(lambda: not server.alive(), "the postmaster is gone")
    away = prepared.data.with_name("away")
    prepared.data.rename(away)  # as when its file system is unmounted
    with pytest.raises(IntegrityError, match="is gone") as refusal:
        start(server)
    assert "mount" in refusal.value.hint
    with pytest.raises(IntegrityError, match="is gone"):
        start(server_of(prepared))  # nor by the next daemon
    assert not prepared.data.exists()
    away.rename(prepared.data)
    start(server)
    assert query(server.app(), "SELECT x FROM vanished") == [(42,)]


def test_server_whose_directory_was_taken_away_under_it_is_still_stopped(fresh: ServerSpec) -> None:
    server = server_of(fresh)
    running = start(server)
    fresh.data.rename(fresh.data.with_name("away"))
    assert server.stop(5).how == "fast"
    assert find_process(running.pid) is None
    assert processes_of(fresh.root) == []


def test_passwords_that_are_lost_on_disk_come_back_from_memory(prepared: ServerSpec) -> None:
    server = server_of(prepared)
    running = start(server)
    url = server.app().url()
    (prepared.root / "secrets" / "db.enc").unlink()
    os.kill(running.pid, signal.SIGKILL)
    until(lambda: not server.alive(), "the postmaster is gone")
    start(server)
    assert server.app().url() == url
    with psycopg.connect(url):
        pass
    assert server_of(prepared).ensure(threading.Event(), lambda _: None).adopted


def test_server_whose_connections_are_all_taken_is_adopted(prepared: ServerSpec) -> None:
    spec = replace(prepared, max_connections=10, startup_timeout=5)
    server = server_of(spec)
    first = start(server)
    taken: list[psycopg.Connection[tuple[object, ...]]] = []
    try:
        with pytest.raises(psycopg.OperationalError, match="reserved"):
            while True:
                taken.append(psycopg.connect(server.app().url()))
        running = start(server_of(spec))
    finally:
        for connection in taken:
            connection.close()
    assert (running.pid, running.adopted) == (first.pid, True)
    assert "max_connections" in running.note


@pytest.mark.parametrize(("limit", "hint"), [(errno.EMFILE, "ulimit -n"), (errno.ENOSPC, "free some space")])
def test_what_the_machine_refuses_is_an_error_with_a_hint(
    prepared: ServerSpec, monkeypatch: pytest.MonkeyPatch, limit: int, hint: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(limit, os.strerror(limit), "somewhere")

    monkeypatch.setattr("bibd.postgres.server.prepare_directories", refuse)
    with pytest.raises(BibdError, match="somewhere") as error:
        start(server_of(prepared))
    assert hint in error.value.hint


def test_password_file_that_is_a_directory_is_named(fresh: ServerSpec) -> None:
    path = fresh.root / "secrets" / "db.enc"
    path.mkdir(parents=True)
    with pytest.raises(BibdError, match=str(path)) as error:
        start(server_of(fresh))
    assert error.value.hint


def test_path_with_a_comma_is_refused_before_anything_is_made(fresh: ServerSpec) -> None:
    with pytest.raises(ConfigError, match="comma"):
        start(server_of(spec_of(fresh.root / "a,b")))
    assert not (fresh.root / "a,b").exists()


def test_line_of_alter_system_that_cannot_be_is_blamed_on_its_own_file(prepared: ServerSpec) -> None:
    path = prepared.data / "postgresql.auto.conf"
    before = path.read_text()
    path.write_text(before + "nonsense = 1\n")
    with pytest.raises(BibdError, match="nonsense") as error:
        start(server_of(prepared))
    path.write_text(before)
    assert "ALTER SYSTEM" in error.value.hint
