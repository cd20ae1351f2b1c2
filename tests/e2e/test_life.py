"""The daemon's main job, end to end, with a real PostgreSQL."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.e2e.daemon import Daemon, alive, eventually, processes_below


def rows(url: str) -> list[int]:
    with psycopg.connect(url, autocommit=True) as connection:
        return [row[0] for row in connection.execute("SELECT x FROM t ORDER BY x").fetchall()]


def put(url: str, value: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS t (x int)")
        connection.execute("INSERT INTO t VALUES (%s)", (value,))


def test_first_start_ends_ready_on_a_real_postgresql(data_dir: Path) -> None:
    with Daemon(data_dir) as daemon:
        status = daemon.wait_for("ready")
        assert "PostgreSQL 18" in status["database"]["version"]
        assert status["migrations"] == {"state": "clean", "version": 1, "pending": 0, "action": None}
        assert [child["state"] for child in status["children"]] == ["up"] * 5
        put(daemon.url(), 1)
        assert rows(daemon.url()) == [1]
        assert daemon.terminate() == 0


def test_no_secret_is_in_a_log_a_process_list_or_an_environment(data_dir: Path) -> None:
    with Daemon(data_dir) as daemon:
        daemon.wait_for("ready")
        password = urlsplit(daemon.url()).password or ""
        assert len(password) >= 43  # 256 bits in base64
        for pid in [daemon.process.pid, *processes_below(data_dir.parent)]:
            for file in ("cmdline", "environ"):
                assert password.encode() not in Path(f"/proc/{pid}/{file}").read_bytes()
        assert daemon.terminate() == 0
        for log in (data_dir / "logs").iterdir():
            assert password not in log.read_text(errors="replace")
        assert password not in daemon.stderr()


def test_killed_postmaster_is_brought_back_and_the_row_is_still_there(data_dir: Path) -> None:
    with Daemon(data_dir) as daemon:
        daemon.wait_for("ready")
        put(daemon.url(), 1)
        postmaster = daemon.postmaster()
        os.kill(postmaster, signal.SIGKILL)
        eventually(lambda: "node ready → degraded" in daemon.messages())
        eventually(lambda: "node degraded → ready" in daemon.messages())
        assert daemon.postmaster() != postmaster
        assert rows(daemon.url()) == [1]
        assert daemon.terminate() == 0


def test_killed_backend_makes_postgresql_recover_and_the_node_ready_again(data_dir: Path) -> None:
    with Daemon(data_dir) as daemon:
        daemon.wait_for("ready")
        put(daemon.url(), 1)
        with psycopg.connect(daemon.url()) as connection:
            os.kill(connection.info.backend_pid, signal.SIGKILL)
        eventually(lambda: daemon.in_state("ready"))
        eventually(lambda: daemon.answers("db.ping"))
        assert rows(daemon.url()) == [1]
        assert daemon.terminate() == 0


def test_server_outlives_a_killed_daemon_and_the_next_one_adopts_it(data_dir: Path) -> None:
    with Daemon(data_dir) as daemon:
        daemon.wait_for("ready")
        put(daemon.url(), 1)
        url, postmaster = daemon.url(), daemon.postmaster()
        daemon.process.kill()
    assert alive(postmaster)
    assert rows(url) == [1]
    with Daemon(data_dir) as daemon:
        daemon.wait_for("ready")
        assert daemon.postmaster() == postmaster
        assert any("adopted" in message for message in daemon.messages())
        assert rows(daemon.url()) == [1]
        assert daemon.terminate() == 0
    assert alive(postmaster)


def test_sigterm_stops_children_in_reverse_and_leaves_nothing_running(data_dir: Path) -> None:
    with Daemon(data_dir, {"BIBD_DATABASE__POSTGRES__STOP_ON_SHUTDOWN": "true"}) as daemon:
        daemon.wait_for("ready")
        postmaster = daemon.postmaster()
        assert daemon.terminate() == 0
        stopping = [message.split()[0] for message in daemon.messages() if message.endswith(" stopping")]
        assert stopping == [f"root/{name}" for name in ("migrator", "health", "provisioner", "admin", "config")]
    assert not alive(postmaster)
    assert processes_below(data_dir.parent) == []
    assert not (data_dir / "bibd.pid").exists()
    assert not (data_dir / "admin.sock").exists()


def test_second_signal_forces_the_stop(data_dir: Path) -> None:
    with Daemon(data_dir, {"BIBD_DATABASE__POSTGRES__STOP_ON_SHUTDOWN": "true"}) as daemon:
        daemon.wait_for("ready")
        postmaster = daemon.postmaster()
        # A client in a transaction that nobody ends, and a server that does not react any more.
        os.kill(postmaster, signal.SIGSTOP)
        try:
            daemon.process.send_signal(signal.SIGINT)
            eventually(lambda: any("shutting down" in message for message in daemon.messages()))
            eventually(lambda: _forced(daemon))
            assert daemon.process.wait(15) in (0, 1)
        finally:
            os.kill(postmaster, signal.SIGCONT)
        eventually(lambda: not alive(postmaster))


def _forced(daemon: Daemon) -> bool:
    """Interrupt again, as a person does who gets no answer."""
    daemon.process.send_signal(signal.SIGINT)
    return any("forced" in message for message in daemon.messages())


def test_sighup_takes_over_what_can_change_and_names_what_cannot(data_dir: Path) -> None:
    data_dir.parent.mkdir(exist_ok=True)
    config = data_dir.parent / "config.yaml"
    config.write_text("log: {format: json}\n")
    with Daemon(data_dir, {"BIBD_CONFIG": str(config)}) as daemon:
        daemon.wait_for("ready")
        config.write_text(
            "log: {format: json}\nserver: {drain_timeout: 3s}\ndatabase: {postgres: {max_connections: 50}}\n"
        )
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: any("changed: server.drain_timeout" in message for message in daemon.messages()))
        assert any("need a restart: database.postgres.max_connections" in text for text in daemon.messages())
        config.write_text("databse: {}\n")
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: any("not reloaded" in message and "database" in message for message in daemon.messages()))
        assert daemon.in_state("ready")
        assert daemon.terminate() == 0


def test_shutdown_over_the_socket_is_a_clean_exit(data_dir: Path) -> None:
    with Daemon(data_dir) as daemon:
        daemon.wait_for("ready")
        assert daemon.call("shutdown", force=False)["pid"] == daemon.process.pid
        assert daemon.process.wait(30) == 0


@pytest.mark.parametrize("action", ["retry_limit", "retry_always"])
def test_lost_server_that_cannot_come_back_leaves_the_node_degraded_and_watching(data_dir: Path, action: str) -> None:
    settings = {
        "BIBD_DATABASE__POSTGRES__HEALTH__ACTION": action,
        "BIBD_DATABASE__POSTGRES__HEALTH__MAX_RETRIES": "2",
    }
    with Daemon(data_dir, settings) as daemon:
        daemon.wait_for("ready")
        put(daemon.url(), 1)
        version = data_dir / "postgres" / "data" / "PG_VERSION"
        version.write_text("12\n")
        os.kill(daemon.postmaster(), signal.SIGKILL)
        expected = "giving up on the database after 2" if action == "retry_limit" else "(attempt 4)"
        eventually(lambda: any(expected in message for message in daemon.messages()))
        assert daemon.in_state("degraded")
        version.write_text("18\n")
        if action == "retry_always":
            daemon.wait_for("ready")
            assert rows(daemon.url()) == [1]
        assert daemon.terminate() == 0


def test_health_action_shutdown_ends_the_node_with_a_failure(data_dir: Path) -> None:
    with Daemon(data_dir, {"BIBD_DATABASE__POSTGRES__HEALTH__ACTION": "shutdown"}) as daemon:
        daemon.wait_for("ready")
        os.kill(daemon.postmaster(), signal.SIGKILL)
        assert daemon.process.wait(30) == 1


def test_sqlite_backend_is_ready_and_leaves_a_clean_file(data_dir: Path) -> None:
    with Daemon(data_dir, {"BIBD_MODE": "proxy", "BIBD_DATABASE__BACKEND": "sqlite"}) as daemon:
        status = daemon.wait_for("ready")
        assert status["backend"] == "sqlite"
        assert status["migrations"]["version"] == 1
        assert daemon.call("health")["healthy"]
        assert daemon.url() == f"sqlite:///{data_dir / 'cache.db'}"
        assert daemon.terminate() == 0
    with Daemon(data_dir, {"BIBD_MODE": "proxy", "BIBD_DATABASE__BACKEND": "sqlite"}) as daemon:
        daemon.wait_for("ready")
        daemon.process.kill()
    with Daemon(data_dir, {"BIBD_MODE": "proxy", "BIBD_DATABASE__BACKEND": "sqlite"}) as daemon:
        daemon.wait_for("ready")
        assert any("integrity_check passed" in message for message in daemon.messages())
        assert daemon.terminate() == 0


def run_to_the_end(daemon: Daemon) -> int:
    return daemon.process.wait(60)


FAIL_FAST: list[tuple[str, dict[str, str], int, str, str]] = [
    ("invalid backend", {"BIBD_DATABASE__BACKEND": "mysql"}, 78, "mysql", "postgres"),
    ("mode mismatch", {"BIBD_DATABASE__BACKEND": "sqlite"}, 78, "mode full", "mode"),
    (
        "runtime unavailable",
        {"BIBD_DATABASE__POSTGRES__BIN_DIR": "/nonexistent/bin"},
        1,
        "/nonexistent/bin",
        "directory that holds postgres",
    ),
]


@pytest.mark.parametrize(
    ("name", "settings", "code", "message", "hint"), FAIL_FAST, ids=[case[0] for case in FAIL_FAST]
)
def test_fail_fast_error_names_its_cause_and_the_next_step(
    data_dir: Path, name: str, settings: dict[str, str], code: int, message: str, hint: str
) -> None:
    with Daemon(data_dir, settings) as daemon:
        assert run_to_the_end(daemon) == code
        said = daemon.stderr()
        assert message in said
        assert hint in said.partition("HINT:")[2]
        assert "Traceback" not in said
    assert processes_below(data_dir.parent) == []


def test_port_conflict_names_the_port_and_its_holder(data_dir: Path, free_port: Callable[[], int]) -> None:
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", free_port()))
        other.listen()
        port = other.getsockname()[1]
        with Daemon(data_dir, {"BIBD_DATABASE__POSTGRES__PORT": str(port)}) as daemon:
            assert run_to_the_end(daemon) == 1
            assert f"port {port} is already in use (pid {os.getpid()}" in daemon.stderr()
            assert "database.postgres.port" in daemon.stderr().partition("HINT:")[2]
    assert processes_below(data_dir.parent) == []


def test_permission_denied_names_the_directory(data_dir: Path) -> None:
    closed = data_dir.parent / "closed"
    closed.mkdir(mode=0o700)
    if os.geteuid() == 0:
        target, message = closed / "d", "permission denied"  # the server's account cannot pass through `closed`
    else:
        closed.chmod(0o500)
        target, message = closed / "d", "permission denied"
    with Daemon(data_dir, {"BIBD_SERVER__DATA_DIR": str(target)}) as daemon:
        assert run_to_the_end(daemon) == 1
        assert message in daemon.stderr().lower()
        assert str(closed) in daemon.stderr()
        assert "HINT:" in daemon.stderr()


def test_second_daemon_on_the_same_directory_is_refused_and_the_first_lives_on(data_dir: Path) -> None:
    with Daemon(data_dir) as first:
        first.wait_for("ready")
        second = subprocess.run(
            first.command, env=first.environ, capture_output=True, text=True, timeout=30, check=False
        )
        assert second.returncode == 1
        assert f"another bibd (pid {first.process.pid}) already runs on data directory {data_dir}" in second.stderr
        assert "HINT:" in second.stderr
        assert first.in_state("ready")
        assert first.terminate() == 0
