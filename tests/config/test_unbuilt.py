from __future__ import annotations

from pathlib import Path

import pytest

from bibd.config import unbuilt
from tests.config.support import load_text, refusal

ON = {
    "gateway.http.enabled": "true",
    "gateway.http.tls": "true",
    "gateway.grpc.enabled": "true",
    "gateway.grpc.tls": "true",
    "database.postgres.managed": "false",
    "database.postgres.dsn": "host=db",
    "database.postgres.container_runtime": "docker",
    "database.postgres.credential_rotation_interval": "168h",
    "database.backup.enabled": "true",
    "database.backup.wal_archiving": "true",
    "database.backup.replicas": "[s3://bucket]",
    "database.backup.restore_test.schedule": '"@daily"',
    "p2p.enabled": "true",
    "cluster.enabled": "true",
    "cluster.replication.enabled": "true",
}


def nested(key: str, value: str) -> str:
    names = key.split(".")
    return "\n".join(f"{'  ' * depth}{name}:" for depth, name in enumerate(names)) + f" {value}\n"


@pytest.mark.parametrize("row", unbuilt.UNBUILT, ids=lambda row: row.switch)
def test_what_does_not_exist_yet_cannot_be_switched_on(tmp_path: Path, row: unbuilt.Unbuilt) -> None:
    assert len(ON) == len(unbuilt.UNBUILT)
    error = refusal(tmp_path, nested(row.switch, ON[row.switch]))
    line = row.switch.count(".") + 1
    assert error.message.startswith(
        f"config.yaml:{line}: {row.switch}: {row.what} is not available yet: it may only be "
    )
    assert error.hint == "leave the keys of what is not available yet out"


@pytest.mark.parametrize(
    ("key", "off", "said"),
    [
        ("database.postgres.container_runtime", "embedded", '"" or embedded'),
        ("database.postgres.credential_rotation_interval", "0s", "0s"),
        ("database.postgres.managed", "true", "true"),
        ("database.backup.replicas", "[]", "[]"),
        ("p2p.enabled", "false", "false"),
    ],
)
def test_off_values_are_accepted_and_named_in_the_refusal(tmp_path: Path, key: str, off: str, said: str) -> None:
    assert load_text(tmp_path, nested(key, off)).warnings == ()
    assert refusal(tmp_path, nested(key, ON[key])).message.endswith(f"it may only be {said} now")


def test_podman_and_kubernetes_are_refused_and_other_runtimes_are_unknown(tmp_path: Path) -> None:
    for runtime in ("podman", "kubernetes"):
        assert "not available yet" in refusal(tmp_path, nested("database.postgres.container_runtime", runtime)).message
    assert "must be" in refusal(tmp_path, nested("database.postgres.container_runtime", "lxc")).message


def test_options_of_what_does_not_exist_yet_are_accepted_with_a_warning(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, "database:\n  backup:\n    max_backups: 3\n    retention_days: 30\np2p: {dht: true}\n")
    assert [warning.replace(f"{tmp_path}/", "") for warning in loaded.warnings] == [
        "config.yaml:3: database.backup.max_backups has no effect: backup is not available yet",
        "config.yaml:5: p2p.dht has no effect: peer-to-peer is not available yet",
    ]
    assert loaded.settings.database.backup.max_backups == 3


def test_options_of_what_does_not_exist_yet_must_still_be_valid(tmp_path: Path) -> None:
    assert "must be at least 1" in refusal(tmp_path, "database: {backup: {max_backups: 0}}").message


def test_a_switch_is_never_an_idle_option() -> None:
    assert unbuilt.switch_of("database.backup.wal_archiving") is None
    assert unbuilt.switch_of("database.postgres.port") is None
    assert unbuilt.switch_of("database.backup.s3.bucket") is not None
