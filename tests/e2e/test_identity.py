"""A node keeps its identity, and shows it; what follows from it stays secret."""

from __future__ import annotations

import base64
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from bibd.datadir import DataDir
from bibd.identity.key_file import load_or_create, render
from bibd.identity.kit import read_key, to_words
from bibd.identity.node import NodeIdentity
from bibd.identity.vault import PURPOSE, SealedVault
from tests.e2e.daemon import Daemon, eventually, processes_below

STOP = {"BIBD_DATABASE__POSTGRES__STOP_ON_SHUTDOWN": "true"}
SQLITE = {"BIBD_MODE": "proxy", "BIBD_DATABASE__BACKEND": "sqlite"}


def ended(daemon: Daemon, *, timeout: float = 60.0) -> int:
    return daemon.process.wait(timeout)


def test_node_id_is_the_same_over_restarts_and_everywhere(data_dir: Path) -> None:
    with Daemon(data_dir, STOP) as daemon:
        node_id = daemon.wait_for("ready")["node_id"]
        passwords = SealedVault(data_dir / "secrets/db.enc", load_or_create(DataDir(data_dir)).sealing_key(PURPOSE))
        password, socket = passwords.get("postgres/superuser"), str(data_dir / "postgres/run")
        # The superuser may come over the Unix socket alone.
        with psycopg.connect(daemon.url(), user="postgres", password=password, host=socket) as connection:
            assert connection.execute("SELECT id FROM bibd.node").fetchall() == [(node_id,)]
        assert daemon.terminate() == 0
        assert {line["node"] for line in daemon.log()} == {node_id[-8:]}
        assert any(node_id in message for message in daemon.messages())
    assert load_or_create(DataDir(data_dir)).node_id == node_id
    with Daemon(data_dir, STOP) as daemon:
        assert daemon.wait_for("ready")["node_id"] == node_id
        assert daemon.terminate() == 0


def test_no_key_and_no_kit_is_in_a_log_a_process_list_or_an_environment(data_dir: Path) -> None:
    with Daemon(data_dir, STOP) as daemon:
        daemon.wait_for("ready")
        bib = [sys.executable, "-m", "bibd.cli", "admin", "recovery-kit"]
        made = subprocess.run([*bib, "create", "--qr"], env=daemon.environ, capture_output=True, text=True, check=True)
        checked = subprocess.run(
            [*bib, "verify", "-"], env=daemon.environ, input=made.stdout, check=True, text=True, capture_output=True
        )
        kit = read_key(made.stdout)
        assert kit.public.fingerprint in checked.stdout
        identity = load_or_create(DataDir(data_dir))
        secrets = [kit.seed, identity.seed, identity.wrapping_key().seed, identity.sealing_key("passwords").key]
        spellings = [form for secret in secrets for form in (secret, secret.hex().encode(), base64.b64encode(secret))]
        spellings.append(to_words(kit.seed).encode())
        for pid in [daemon.process.pid, *processes_below(data_dir.parent)]:
            for file in ("cmdline", "environ"):
                content = Path(f"/proc/{pid}/{file}").read_bytes()
                assert not any(form in content for form in spellings)
        assert daemon.terminate() == 0
        files = [path for path in data_dir.rglob("*") if path.is_file() and path.name != "identity.pem"]
        assert {"audit.log", "bibd.log", "db.enc", "recipients.enc"} <= {path.name for path in files}
        for path in [*files, data_dir.parent / "stderr"]:
            content = path.read_bytes()
            assert not any(form in content for form in spellings), path
        assert "recovery_kit.add" in (data_dir / "logs/audit.log").read_text()


def test_kill_at_any_moment_of_the_first_start_costs_no_identity(data_dir: Path) -> None:
    seen: str | None = None
    for attempt in range(8):
        with Daemon(data_dir, SQLITE) as daemon:
            log = data_dir / "logs/bibd.log"
            # Further and further: at once, when the key is there, when the log is, when the socket answers.
            marks = [data_dir, data_dir / "bibd.lock", data_dir / "identity.pem", log, data_dir / "admin.sock"]
            eventually(marks[min(attempt, len(marks) - 1)].exists)
            daemon.process.send_signal(signal.SIGKILL)
            daemon.process.wait()
        if (data_dir / "identity.pem").exists():
            found = load_or_create(DataDir(data_dir))
            assert (data_dir / "identity.pem").read_bytes() == render(found)
            assert seen in {None, found.node_id}
            seen = found.node_id
    with Daemon(data_dir, SQLITE) as daemon:
        assert daemon.wait_for("ready")["node_id"] == seen
        assert daemon.terminate() == 0


def test_two_daemons_started_at_once_make_one_identity(data_dir: Path) -> None:
    with Daemon(data_dir, SQLITE) as first, Daemon(data_dir, SQLITE) as second:
        eventually(lambda: first.process.poll() is not None or second.process.poll() is not None)
        winner, loser = (first, second) if first.process.poll() is None else (second, first)
        assert ended(loser) == 1
        node_id = winner.wait_for("ready")["node_id"]
        assert load_or_create(DataDir(data_dir)).node_id == node_id
        assert winner.terminate() == 0


@pytest.mark.parametrize(
    ("content", "mode", "code", "text"),
    [
        (b"bibd node x\n", 0o600, 5, "identity.pem is damaged"),
        (render(NodeIdentity.of(bytes(32))), 0o644, 1, "chmod 600"),
    ],
    ids=["damaged", "readable by others"],
)
def test_bad_identity_ends_the_start_with_its_own_exit_code(
    data_dir: Path, content: bytes, mode: int, code: int, text: str
) -> None:
    data_dir.mkdir(mode=0o700)
    (data_dir / "identity.pem").write_bytes(content)
    (data_dir / "identity.pem").chmod(mode)
    with Daemon(data_dir, SQLITE) as daemon:
        assert ended(daemon) == code
        assert text in daemon.stderr()
        assert "HINT" in daemon.stderr()
    assert (data_dir / "identity.pem").read_bytes() == content


def test_lost_or_exchanged_identity_is_an_integrity_error_and_its_return_is_enough(data_dir: Path) -> None:
    with Daemon(data_dir, STOP) as daemon:
        node_id = daemon.wait_for("ready")["node_id"]
        assert daemon.terminate() == 0
    pem = data_dir / "identity.pem"
    kept = pem.read_bytes()
    pem.unlink()
    with Daemon(data_dir, STOP) as daemon:
        assert ended(daemon) == 5
        assert "identity.pem is gone" in daemon.stderr()
    pem.write_bytes(render(NodeIdentity.of(bytes(32))))
    pem.chmod(0o600)
    with Daemon(data_dir, STOP) as daemon:
        assert ended(daemon) == 5
        assert f"sealed by node {node_id}" in daemon.stderr()
    pem.write_bytes(kept)
    with Daemon(data_dir, STOP) as daemon:
        assert daemon.wait_for("ready")["node_id"] == node_id
        assert daemon.terminate() == 0
