"""``Storage`` for SQLite: the file in the data directory."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bibd import __version__
from bibd.config.model import Database, Migrations
from bibd.datadir import DataDir
from bibd.errors import BibdError
from bibd.migrations.engine import Migrator
from bibd.migrations.plan import MigrationState, UpAll
from bibd.migrations.restore_point import SqliteRestorePoint
from bibd.migrations.source import builtin
from bibd.migrations.sqlite import BUILTIN, SqliteMigrations
from bibd.migrations.sqlite_script import parse
from bibd.migrations.user import UserMigrations, read_checked, retry_dice
from bibd.sqlite.file import SqliteFile
from bibd.storage import Check, Link, Probed, Release, Serving

_CONNECTION_TIMEOUT = 5.0


class SqliteStorage:
    """``node`` signs the migrations."""

    def __init__(
        self, path: Path, max_open_conns: int, *, node: str, migrations: Migrations, restore_points: Path
    ) -> None:
        self._path = path
        self._max_open_conns = max_open_conns
        self._node = node
        self._migrations = migrations
        self._restore_points = restore_points
        self._random = retry_dice()
        self._migrator = partial(
            Migrator,
            parse=parse,
            applied_by=f"bibd {__version__} on {node}",
            lock_timeout=migrations.lock_timeout,
            random=self._random,
        )
        self._lock = threading.Lock()
        self._file: SqliteFile | None = None

    @classmethod
    def of(cls, settings: Database, data: DataDir, *, node: str) -> SqliteStorage:
        path = Path(settings.sqlite.path) if settings.sqlite.path else data.sqlite
        return cls(
            path,
            settings.sqlite.max_open_conns,
            node=node,
            migrations=settings.migrations,
            restore_points=data.restore_points,
        )

    def ensure(self, cancel: threading.Event, progress: Callable[[str], None]) -> Serving:
        del cancel  # quick: one file
        with self._lock:
            if self._file is None or not self.probe(_CONNECTION_TIMEOUT).ok:
                if self._file is not None:
                    self._file.close()
                    self._file = None
                self._file = SqliteFile.open(self._path, self._max_open_conns)
                for warning in self._file.warnings:
                    progress(warning)
            file = self._file
        return Serving(
            version=f"SQLite {sqlite3.sqlite_version}",
            url=self.link().url,
            runtime=f"file, {file.journal_mode} journal",
            note="it was not closed cleanly; integrity_check passed" if file.unclean else "",
        )

    def probe(self, timeout: float) -> Probed:
        began = time.monotonic()
        file = self._file
        if file is None:
            return Probed(datetime.now(UTC), (Check("file", ok=False, detail="not open yet", seconds=0.0),))
        try:
            file.ping(timeout)
        except BibdError as error:
            return Probed(
                datetime.now(UTC),
                (Check("query", ok=False, detail=error.message, seconds=time.monotonic() - began),),
            )
        return Probed(datetime.now(UTC), (Check("query", ok=True, detail="", seconds=time.monotonic() - began),))

    def migrate(self, cancel: threading.Event) -> MigrationState:
        if self._file is None:
            raise BibdError("the SQLite database is not open")
        with self._file.connection(_CONNECTION_TIMEOUT) as connection:
            backend = SqliteMigrations(connection, BUILTIN, random=self._random)
            migrator = self._migrator(backend, builtin("sqlite"), restore_point=None)
            state = migrator.run(UpAll(), progress=lambda _: None, cancel=cancel)
            backend.record_start(self._node, __version__)
        return state

    @contextmanager
    def user_migrations(self) -> Generator[UserMigrations]:
        directory, migrations = read_checked(self._migrations.path)
        if self._file is None:
            raise BibdError("the SQLite database is not open")
        with self._file.connection(_CONNECTION_TIMEOUT) as connection:
            backend = SqliteMigrations(connection, self._migrations.table, random=self._random)
            restore_point = SqliteRestorePoint(connection, directory=self._restore_points)
            migrator = self._migrator(backend, migrations, restore_point=restore_point)
            table = f"bibd_{self._migrations.table}"
            yield UserMigrations(migrator, migrations, parse, directory, table, self._restore_points)

    def link(self) -> Link:
        return Link(url=f"sqlite:///{self._path.absolute()}", service="", service_file="")

    def release(self, how: Release) -> str:
        with self._lock:
            if self._file is None:
                return "no database was open"
            clean = self._file.close(timeout=0.1 if how.immediate else how.timeout)
            self._file = None
        return "SQLite database closed" if clean else "SQLite database left open: the next start will check it"
