"""Brings the schema to the wanted version; then the storage is ready."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import assert_never

from actors.migrator.messages import MigrationsDone, MigratorMessage
from bibd.errors import BibdError
from bibd.logs.setup import for_actor
from bibd.migrations.engine import MigrationState
from bibd.storage import Probed
from bibd.supervision import Actor, Answer, Context


class MigratorActor(Actor[MigratorMessage]):
    """``migrate`` blocks; ``ping`` is the last look at the database before the node may call itself ready."""

    auto_ready = False

    def __init__(
        self,
        ctx: Context,
        migrate: Callable[[threading.Event], MigrationState],
        ping: Callable[[], Probed],
        publish: Callable[[MigrationState], None],
    ) -> None:
        self._ctx = ctx
        self._migrate = migrate
        self._ping = ping
        self._publish = publish
        self._log = for_actor("migrator")

    def on_start(self) -> None:
        self._ctx.pipe(self._run, MigrationsDone)

    def receive(self, msg: MigratorMessage) -> Answer:
        match msg:
            case MigrationsDone(migrated=migrated):
                if migrated.applied_now:
                    self._log.info("schema migrated to version {}", migrated.version)
                self._publish(migrated)
                self._ctx.ready()
            case _:
                assert_never(msg)
        return None

    def _run(self, cancel: threading.Event) -> MigrationState:
        migrated = self._migrate(cancel)
        pinged = self._ping()
        if not pinged.ok and not cancel.is_set():
            raise BibdError(f"the database was lost right after its migrations: {pinged.detail}")
        return migrated
