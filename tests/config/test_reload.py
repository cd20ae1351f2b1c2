from __future__ import annotations

from bibd.config import fields, reload
from bibd.config.model import Database, Health, Log, Postgres, Server, Settings


def test_equal_settings_have_no_changes() -> None:
    assert reload.compare(Settings(), Settings()) == reload.Changes((), ())


def test_what_can_change_live_is_told_from_what_needs_a_restart() -> None:
    new = Settings(
        mode="selective",
        server=Server(drain_timeout=1.0, data_dir="/x"),
        log=Log(level="debug", format="json"),
        database=Database(postgres=Postgres(port=1, stop_on_shutdown=True, health=Health(interval=1.0))),
    )
    assert reload.compare(Settings(), new) == reload.Changes(
        live=(
            "server.drain_timeout",
            "log.level",
            "database.postgres.stop_on_shutdown",
            "database.postgres.health.interval",
        ),
        restart=("mode", "server.data_dir", "log.format", "database.postgres.port"),
    )


def test_the_live_keys_are_these() -> None:
    assert [key for key in fields.fields() if reload.is_live(key)] == [
        "server.shutdown_timeout",
        "server.drain_timeout",
        "log.level",
        "log.redact_fields",
        "database.postgres.stop_on_shutdown",
        "database.postgres.checkpoint_on_shutdown",
        "database.postgres.health.interval",
        "database.postgres.health.timeout",
        "database.postgres.health.startup_timeout",
        "database.postgres.health.action",
        "database.postgres.health.max_retries",
        "database.postgres.health.retry_backoff",
    ]
    assert all(name in fields.fields() or name in fields.sections() for name in reload.LIVE)
