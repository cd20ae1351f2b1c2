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


def test_after_a_reload_only_the_live_keys_have_changed() -> None:
    old = Settings(mode="proxy", server=Server(data_dir="/old"))
    new = Settings(
        server=Server(data_dir="/new", drain_timeout=1.0),
        log=Log(level="debug", format="json"),
        database=Database(postgres=Postgres(port=1, health=Health(max_retries=1))),
    )
    taken = reload.live_only(old, new)
    changes = reload.compare(old, new)
    assert reload.compare(old, taken) == reload.Changes(live=changes.live, restart=())
    assert reload.compare(taken, new) == reload.Changes(live=(), restart=changes.restart)
    assert taken.database.postgres.health.max_retries == 1
    assert (taken.mode, taken.server.data_dir, taken.database.postgres.port) == ("proxy", "/old", 5432)


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
