"""The user's migrations through a real daemon: at start, before the node is ready, and on command."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from bibd.admin.client import AdminClient
from bibd.errors import BibdError
from tests.e2e.daemon import Daemon, eventually

USERS = "CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL);\nINSERT INTO users VALUES (1, 'a@b');\n"
SLOW = "-- bibd: no-transaction\nCREATE TABLE slow (x int);\nINSERT INTO slow SELECT 1 FROM pg_sleep({seconds});\n"


@pytest.fixture
def files(data_dir: Path) -> Path:
    directory = data_dir.parent / "migrations"
    directory.mkdir()
    (directory / "000001_users.up.sql").write_text(USERS)
    (directory / "000001_users.down.sql").write_text("DROP TABLE users;\n")
    return directory


def settings(files: Path, **more: str) -> dict[str, str]:
    return {"BIBD_DATABASE__MIGRATIONS__PATH": str(files), **more}


def count(daemon: Daemon, table: str) -> int | None:
    """Rows of ``table``; None when there is no such table."""
    try:
        with psycopg.connect(daemon.url()) as connection:
            row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
    except psycopg.errors.UndefinedTable:
        return None
    assert row is not None
    return int(row[0])


def migrations(daemon: Daemon) -> dict[str, Any]:
    status = daemon.status()
    assert status is not None
    found: dict[str, Any] = status["migrations"]
    return found


def in_migration_state(daemon: Daemon, state: str) -> dict[str, Any] | None:
    status = daemon.status()
    found: dict[str, Any] | None = status["migrations"] if status is not None else None
    return found if found is not None and found["state"] == state else None


def test_migrations_have_run_before_the_node_is_ready_and_run_once(data_dir: Path, files: Path) -> None:
    for _ in range(2):
        with Daemon(data_dir, settings(files)) as daemon:
            daemon.wait_for("ready")
            assert migrations(daemon) == {"state": "clean", "version": 1, "pending": 0, "action": None}
            assert count(daemon, "users") == 1
            assert daemon.terminate() == 0


def test_failing_migration_keeps_the_node_up_and_not_ready_until_it_is_mended(data_dir: Path, files: Path) -> None:
    bad = files / "000002_bad.up.sql"
    bad.write_text("CREATE TABLE half (x int);\nALTER TABLE nobody ADD COLUMN x int;\n")
    with Daemon(data_dir, settings(files)) as daemon:
        found = eventually(lambda: in_migration_state(daemon, "failed"))
        assert found["version"] == 1
        assert "000002_bad" in found["action"]
        assert "nobody" in found["action"]
        assert daemon.in_state("starting")
        assert count(daemon, "half") is None
        bad.write_text("CREATE TABLE whole (x int);\n")
        assert daemon.call("migrate.run", goal="up")["ran"] == ["000002_bad"]
        daemon.wait_for("ready")
        assert daemon.terminate() == 0


def test_edited_file_is_named_and_nothing_runs(data_dir: Path, files: Path) -> None:
    with Daemon(data_dir, settings(files)) as daemon:
        daemon.wait_for("ready")
        assert daemon.terminate() == 0
    (files / "000001_users.up.sql").write_text(USERS + "-- changed\n")
    (files / "000002_more.up.sql").write_text("CREATE TABLE more (x int);\n")
    with Daemon(data_dir, settings(files)) as daemon:
        found = eventually(lambda: in_migration_state(daemon, "mismatch") or in_migration_state(daemon, "failed"))
        assert "000001_users" in found["action"]
        with pytest.raises(BibdError) as caught:
            daemon.call("migrate.run", goal="up")
        assert caught.value.exit_code == 5
        assert count(daemon, "more") is None
        assert daemon.terminate() == 0


def test_without_auto_the_node_is_ready_with_pending_migrations(data_dir: Path, files: Path) -> None:
    with Daemon(data_dir, settings(files, BIBD_DATABASE__MIGRATIONS__AUTO="false")) as daemon:
        daemon.wait_for("ready")
        assert migrations(daemon)["pending"] == 1
        assert count(daemon, "users") is None
        daemon.call("migrate.run", goal="up")
        assert count(daemon, "users") == 1
        assert migrations(daemon)["pending"] == 0
        assert daemon.terminate() == 0


def test_down_keeps_a_restore_point_and_the_node_stays_ready(data_dir: Path, files: Path) -> None:
    with Daemon(data_dir, settings(files)) as daemon:
        daemon.wait_for("ready")
        report = daemon.call("migrate.run", goal="down", count=1)
        assert [Path(path).parent for path in report["restore_points"]] == [data_dir / "backups" / "restore-points"]
        assert all(Path(path).stat().st_mode & 0o777 == 0o600 for path in report["restore_points"])
        assert count(daemon, "users") is None
        assert daemon.in_state("ready")
        assert daemon.terminate() == 0


def operations(daemon: Daemon) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = daemon.answers("ops.list") or []
    return found


def test_daemon_and_server_killed_in_the_middle_of_a_file_and_the_next_start_finishes_it(
    data_dir: Path, files: Path
) -> None:
    (files / "000002_slow.up.sql").write_text(SLOW.format(seconds=3))
    with Daemon(data_dir, settings(files)) as daemon:
        eventually(lambda: any(operation["progress"] for operation in operations(daemon)))
        postmaster = daemon.postmaster()
        daemon.process.kill()
        os.kill(postmaster, signal.SIGKILL)
    with Daemon(data_dir, settings(files)) as daemon:
        daemon.wait_for("ready")
        assert migrations(daemon)["version"] == 2
        assert count(daemon, "slow") == 1
        assert daemon.terminate() == 0


def test_failed_statement_outside_a_transaction_is_dirty_named_and_finished_once_mended(
    data_dir: Path, files: Path
) -> None:
    (files / "000002_apart.up.sql").write_text(
        "-- bibd: no-transaction\nCREATE TABLE apart (x int);\nINSERT INTO nobody VALUES (1);\n"
    )
    with Daemon(data_dir, settings(files)) as daemon:
        found = eventually(lambda: in_migration_state(daemon, "dirty"))
        assert found["version"] == 2
        assert "nobody" in found["action"]
        assert daemon.in_state("starting")
        assert count(daemon, "apart") == 0
        assert "000002_apart" in daemon.call("migrate.explain_reset")["explanation"]
        with psycopg.connect(daemon.url(), autocommit=True) as connection:
            connection.execute("CREATE TABLE nobody (x int)")
        assert daemon.call("migrate.run", goal="up")["ran"] == ["000002_apart"]
        daemon.wait_for("ready")
        assert count(daemon, "nobody") == 1
        assert daemon.terminate() == 0


def test_running_migration_is_listed_and_can_be_cancelled(data_dir: Path, files: Path) -> None:
    with Daemon(data_dir, settings(files)) as daemon:
        daemon.wait_for("ready")
        (files / "000002_slow.up.sql").write_text("SELECT pg_sleep(60);\n")
        ids: list[str] = []
        errors: list[BibdError] = []

        def run() -> None:
            with AdminClient(daemon.socket) as client:
                try:
                    client.call("migrate.run", {}, timeout=60, on_progress=lambda p: ids.append(p["operation"]))
                except BibdError as error:
                    errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        eventually(lambda: ids and daemon.call("ops.list"))
        assert [op["id"] for op in daemon.call("ops.list")] == ids[:1]
        with pytest.raises(BibdError, match="is running already"):
            daemon.call("migrate.run", goal="up")
        daemon.call("ops.cancel", id=ids[0])
        thread.join(20)
        assert not thread.is_alive()
        assert "cancelled" in errors[0].message
        assert daemon.call("ops.list") == []
        assert daemon.in_state("ready")
        assert daemon.terminate() == 0


def test_shutdown_cancels_a_running_migration(data_dir: Path, files: Path) -> None:
    (files / "000002_slow.up.sql").write_text("SELECT pg_sleep(60);\n")
    with Daemon(data_dir, settings(files)) as daemon:
        eventually(lambda: daemon.answers("ops.list"))
        assert daemon.terminate(timeout=15) == 0


def test_sqlite_runs_the_users_migrations_too(data_dir: Path, files: Path) -> None:
    sqlite = {"BIBD_MODE": "proxy", "BIBD_DATABASE__BACKEND": "sqlite"}
    with Daemon(data_dir, settings(files, **sqlite)) as daemon:
        daemon.wait_for("ready")
        assert migrations(daemon)["version"] == 1
        report = daemon.call("migrate.run", goal="down", count=1)
        assert Path(report["restore_points"][0]).exists()
        assert migrations(daemon)["version"] == 0
        assert daemon.terminate() == 0
