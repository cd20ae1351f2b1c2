"""``Storage`` for a PostgreSQL that bibd runs itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bibd import __version__
from bibd.config import model
from bibd.datadir import DataDir
from bibd.errors import BibdError
from bibd.identity import vault
from bibd.identity.node import NodeIdentity
from bibd.migrations.engine import Migrator
from bibd.migrations.plan import MigrationState, UpAll
from bibd.migrations.postgres import BUILTIN, PostgresMigrations, user_table, whole
from bibd.migrations.restore_point import PostgresRestorePoint
from bibd.migrations.source import builtin
from bibd.migrations.user import UserMigrations, read_checked, retry_dice
from bibd.postgres import roles
from bibd.postgres.database import Database, direct
from bibd.postgres.probe import probe
from bibd.postgres.server import EmbeddedServer, ServerSpec
from bibd.postgres.service_file import SERVICE
from bibd.storage import Check, Link, Probed, Release, Serving

_MIGRATION_TIMEOUT = 60.0
_CHECKPOINT_TIMEOUT = 5.0
_CLOSE_TIMEOUT = 1.0


def server_spec(settings: model.Postgres, data: DataDir, logs: Path, node: str) -> ServerSpec:
    """Where this node's server lives, from the configuration."""
    directory = Path(settings.data_dir) if settings.data_dir else data.postgres_data
    return ServerSpec(
        data=directory,
        run=data.postgres_run,
        certs=data.postgres_certs,
        dist=data.postgres_dist,
        log_file=logs / "postgres.log",
        service_file=data.service_file,
        root=data.root,
        bin_dir=settings.bin_dir,
        bind_address=settings.bind_address,
        port=settings.port,
        max_connections=settings.max_connections,
        memory_mb=settings.memory_mb,
        settings=settings.settings,
        tls=settings.tls.enabled,
        tls_cert_dir=settings.tls.cert_dir,
        tls_auto_generate=settings.tls.auto_generate,
        startup_timeout=settings.health.startup_timeout,
        node=node,
    )


class PostgresStorage:
    """``node`` signs the migrations; ``register_secret`` is told of passwords before anything can log them."""

    def __init__(
        self,
        server: EmbeddedServer,
        service_file: Path,
        *,
        node: str,
        migrations: model.Migrations,
        restore_points: Path,
        register_secret: Callable[[str], None],
    ) -> None:
        self._server = server
        self._service_file = service_file
        self._node = node
        self._migrations = migrations
        self._restore_points = restore_points
        self._random = retry_dice()
        self._migrator = partial(
            Migrator,
            applied_by=f"bibd {__version__} on {node}",
            lock_timeout=migrations.lock_timeout,
            random=self._random,
        )
        self._binaries: Path | None = None
        self._register_secret = register_secret
        self._database: Database | None = None

    @classmethod
    def of(
        cls,
        settings: model.Database,
        data: DataDir,
        *,
        logs: Path,
        identity: NodeIdentity,
        register_secret: Callable[[str], None],
    ) -> PostgresStorage:
        passwords = vault.SealedVault(data.passwords, identity.sealing_key(vault.PURPOSE))
        server = EmbeddedServer(server_spec(settings.postgres, data, logs, identity.node_id), passwords)
        return cls(
            server,
            data.service_file,
            node=identity.node_id,
            migrations=settings.migrations,
            restore_points=data.restore_points,
            register_secret=register_secret,
        )

    def ensure(self, cancel: threading.Event, progress: Callable[[str], None]) -> Serving:
        running = self._server.ensure(cancel, progress)
        self._binaries = running.binaries
        admin, app = self._server.admin(), self._server.app()
        for endpoint in (admin, app):
            self._register_secret(endpoint.password)
        # The superuser, so that a full server still lets us look; in the application's database, where our schema is.
        mine = replace(admin, dbname=roles.DATABASE)
        if self._database is None or self._database.endpoint != mine:
            self._close()
            self._database = Database(mine)
        return Serving(
            version=f"PostgreSQL {running.version}",
            url=app.public_url(),
            runtime="embedded",
            pid=running.pid,
            adopted=running.adopted,
            note="; ".join(part for part in (f"binaries: {running.source}", running.note) if part),
        )

    def probe(self, timeout: float) -> Probed:
        database = self._database
        if database is None:
            return Probed(datetime.now(UTC), (Check("process", ok=False, detail="not started yet", seconds=0.0),))
        return probe(database, self._server.alive, timeout)

    def migrate(self, cancel: threading.Event) -> MigrationState:
        if self._database is None:
            raise BibdError("PostgreSQL is not running")
        with self._database.connection(_MIGRATION_TIMEOUT) as session:
            backend = PostgresMigrations(session, BUILTIN, random=self._random)
            migrator = self._migrator(backend, builtin("postgres"), parse=whole, restore_point=None)
            state = migrator.run(UpAll(), progress=lambda _: None, cancel=cancel)
            backend.record_start(self._node, __version__)
        return state

    @contextmanager
    def user_migrations(self) -> Generator[UserMigrations]:
        from bibd.migrations import postgres_script

        wanted = self._migrations
        directory, migrations = read_checked(wanted.path)
        admin, app, binaries = self._server.admin(), self._server.app(), self._binaries
        if binaries is None:
            raise BibdError("PostgreSQL is not running yet", hint="see `bib admin status`")
        with direct(app, application_name="bibd migrate") as session:
            table = user_table(wanted.table)
            backend = PostgresMigrations(session, table, random=self._random)
            # As the superuser: what a migration touches may belong to another role.
            restore_point = PostgresRestorePoint(
                session,
                replace(admin, dbname=roles.DATABASE),
                binaries=binaries,
                directory=self._restore_points,
                touched=postgres_script.touched,
                lock_timeout=wanted.lock_timeout,
            )
            parse = postgres_script.parse
            migrator = self._migrator(backend, migrations, parse=parse, restore_point=restore_point)
            yield UserMigrations(
                migrator, migrations, parse, directory, f"{table.schema}.{table.name}", self._restore_points
            )

    def link(self) -> Link:
        if self._database is None:
            raise BibdError("PostgreSQL is not running yet", hint="see `bib admin status`")
        return Link(self._server.app().url(), SERVICE, str(self._service_file))

    def release(self, how: Release) -> str:
        if how.stop and how.checkpoint and self._database is not None and self._server.alive():
            # Not fatal: PostgreSQL makes one itself when it stops; done before, the stop is short.
            with suppress(BibdError):
                self._database.checkpoint(min(_CHECKPOINT_TIMEOUT, how.timeout))
        self._close()
        if not how.stop:
            return "PostgreSQL is left running" if self._server.alive() else "PostgreSQL was not running"
        result = self._server.stop(how.timeout, immediate=how.immediate)
        clean = "clean" if result.clean else "not clean: it will recover at the next start"
        return f"PostgreSQL stopped ({result.how}, {result.seconds:.3f} s, {clean})"

    def _close(self) -> None:
        if self._database is not None:
            self._database.close(_CLOSE_TIMEOUT)
            self._database = None
