"""Before a migration is undone: a copy of what it touches, as a file in the data directory."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from bibd.durable import sync_directory
from bibd.errors import BibdError
from bibd.migrations.backend import Cancelled
from bibd.migrations.lock import Executor
from bibd.migrations.script import Script, Touched
from bibd.migrations.source import Migration

_CANCEL_POLL = 0.05


class RestorePoint(Protocol):
    def take(self, migration: Migration, script: Script, cancel: threading.Event) -> Path:
        """Copy what ``script``, which undoes ``migration``, touches. The file is durable, and readable by us alone.

        Raises BibdError when that fails, and Cancelled: then there is no file, and the script must not run.
        """
        ...


class Target(Protocol):
    """How to log in: ``bibd.postgres.endpoint.Endpoint``, as a role that may read everything that is to be dumped."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def dbname(self) -> str: ...
    @property
    def user(self) -> str: ...
    @property
    def password(self) -> str: ...
    @property
    def tls(self) -> bool: ...


class PostgresRestorePoint:
    """A dump in pg_dump's custom format: ``pg_restore --clean --if-exists -d URL FILE`` brings it back.

    It holds what was there when it began: what is written while a large dump runs is not in it.
    """

    def __init__(
        self,
        session: Executor,
        target: Target,
        *,
        binaries: Path,
        directory: Path,
        touched: Callable[[Script], Touched],
        lock_timeout: float,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._session = session
        self._target = target
        self._pg_dump = binaries / "pg_dump"
        self._directory = directory
        self._touched = touched
        self._lock_timeout = lock_timeout
        self._now = now

    def take(self, migration: Migration, script: Script, cancel: threading.Event) -> Path:
        what = self._what(self._touched(script))
        with _new_file(self._directory, _name(migration, self._now(), "dump")) as path, _password(self._target) as file:
            environment = {
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "LC_ALL": "C",
                "PGPASSFILE": str(file),
                "PGAPPNAME": "bibd restore point",
                "PGSSLMODE": "require" if self._target.tls else "prefer",
            }
            arguments = [
                f"--host={self._target.host}",
                f"--port={self._target.port}",
                f"--username={self._target.user}",
                f"--dbname={_conninfo_value(self._target.dbname)}",
                "--no-password",
                "--format=custom",
                f"--file={path}",
                # It asks for ACCESS SHARE, which one that waits for ACCESS EXCLUSIVE would hold up for ever.
                f"--lock-wait-timeout={max(1, round(self._lock_timeout * 1000))}",
            ]
            _run([str(self._pg_dump), *arguments, *what], environment, cancel)
        return self._directory / path.name.removesuffix(_PART)

    def _what(self, touched: Touched) -> list[str]:
        if touched.everything or self._rows_may_change_elsewhere(touched):
            return []
        tables = self._with_dependents(touched.tables)
        # It changes only what the migration files have; but what a person has added by hand would be lost.
        return [f"--table={_pattern(schema, name)}" for schema, name in tables] or ["--schema-only"]

    def _rows_may_change_elsewhere(self, touched: Touched) -> bool:
        """A trigger or a rule may write to any table."""
        (found,) = self._session.execute(
            b"SELECT EXISTS (SELECT FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = ANY (t.ids))"
            b" OR EXISTS (SELECT FROM pg_rewrite WHERE rulename <> '_RETURN' AND ev_class = ANY (t.ids))"
            b" FROM (SELECT array_agg(to_regclass(name)::oid) AS ids FROM unnest(%s::text[]) name) t",
            (list(touched.tables),),
        ).fetchone()
        return bool(found)

    def _with_dependents(self, tables: Sequence[str]) -> list[tuple[str, str]]:
        """The tables that exist, their partitions and inheriting tables, and those with rows that refer to theirs."""
        return self._session.execute(
            b"WITH RECURSIVE found (id) AS ("
            b" SELECT to_regclass(name)::oid FROM unnest(%s::text[]) name UNION"
            b" SELECT d.id FROM found JOIN LATERAL ("
            b"  SELECT inhrelid AS id FROM pg_inherits WHERE inhparent = found.id UNION ALL"
            b"  SELECT conrelid FROM pg_constraint WHERE contype = 'f' AND confrelid = found.id) d ON true)"
            b" SELECT nspname, relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
            b" WHERE c.oid IN (SELECT id FROM found) ORDER BY 1, 2",
            (list(tables),),
        ).fetchall()


class SqliteRestorePoint:
    """A copy of the whole database, a database itself: put in the place of the other one, it brings it back."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        directory: Path,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._connection = connection
        self._directory = directory
        self._now = now

    def take(self, migration: Migration, script: Script, cancel: threading.Event) -> Path:
        del script  # all of it is copied

        def copied(*_: int) -> None:
            if cancel.is_set():
                raise Cancelled("nothing was changed")

        with _new_file(self._directory, _name(migration, self._now(), "db")) as path:
            try:
                with closing(sqlite3.connect(path, isolation_level=None)) as copy:
                    # 4 MB at a time, with pages of 4 kB: others may write in between, then it begins anew.
                    self._connection.backup(copy, pages=1000, progress=copied, sleep=0.01)
                    # A copy of a database in WAL mode would get two files beside it when it is opened.
                    copy.execute("PRAGMA journal_mode=DELETE").fetchone()
            except sqlite3.Error as error:
                raise BibdError(f"the restore point {path} failed: {error}", _HINT) from error
        return self._directory / path.name.removesuffix(_PART)


_HINT = "nothing was undone; see to the cause, then try again"
_PART = ".part"


def _name(migration: Migration, now: datetime, suffix: str) -> str:
    title = re.sub(r"[^\w.+-]", "_", migration.title)
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}_{title}.{suffix}"


@contextmanager
def _new_file(directory: Path, name: str) -> Generator[Path]:
    """A file to be written by somebody else, which gets its ``name`` when that worked, and is durable then."""
    path = directory / f"{name}{_PART}"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (directory / name).exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            yield path
            with path.open("rb") as file:
                os.fsync(file.fileno())
            path.rename(directory / name)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        for made in (directory, *directory.parents[:2]):
            sync_directory(made)
    except OSError as error:
        raise BibdError(f"the restore point {directory / name} failed: {error.strerror}", _HINT) from error


@contextmanager
def _password(target: Target) -> Generator[Path]:
    """A password file (PostgreSQL documentation, 34.16) in a directory of its own: no argument, no environment."""
    directory = Path(tempfile.mkdtemp(prefix="bibd-pgpass-"))  # 0700
    try:
        path = directory / "pgpass"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(":".join(["*", "*", "*", "*", re.sub(r"([\\:])", r"\\\1", target.password)]) + "\n")
        yield path
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _run(argv: Sequence[str], environment: dict[str, str], cancel: threading.Event) -> None:
    with tempfile.TemporaryFile() as errors:
        try:
            child = subprocess.Popen(
                argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, cwd="/"
            )
        except OSError as error:
            raise BibdError(f"{argv[0]} does not run: {error.strerror}", _HINT) from error
        try:
            while _still_runs(child):
                if cancel.is_set():
                    raise Cancelled("nothing was changed")
        finally:
            with suppress(ProcessLookupError):
                child.kill()
            child.wait()
        if child.returncode:
            errors.seek(0)
            said = " ".join(errors.read(2000).decode(errors="replace").split())
            raise BibdError(f"the restore point failed: {said or f'exit code {child.returncode}'}", _HINT)


def _still_runs(child: subprocess.Popen[bytes]) -> bool:
    try:
        child.wait(_CANCEL_POLL)
    except subprocess.TimeoutExpired:
        return True
    return False


def _pattern(schema: str, name: str) -> str:
    """Quoted, a name in a pattern of pg_dump stands for itself (PostgreSQL documentation, psql, Patterns)."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in (schema, name))


def _conninfo_value(dbname: str) -> str:
    """A name with "=" in it would be taken for a connection string."""
    escaped = dbname.replace("\\", "\\\\").replace("'", "\\'")
    return f"dbname='{escaped}'"
