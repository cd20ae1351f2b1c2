"""The SQLite database file: made, opened, checked after an unclean stop, closed."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from bibd.durable import sync_directory, write_file
from bibd.errors import BibdError, IntegrityError
from bibd.sqlite.versions import Version, has_wal_reset_bug

# How long a writer waits for another writer's lock.
_BUSY_SECONDS = 5.0


class SqliteFile:
    """An open database and up to ``max_open_conns`` connections to it.

    ``journal_mode`` is "wal", or "truncate" (a rollback journal) where WAL is not safe; ``warnings`` says why.
    ``unclean`` tells that the last owner did not close it; then ``integrity_check`` has been passed.
    """

    @classmethod
    def open(cls, path: Path, max_open_conns: int, *, library: Version = sqlite3.sqlite_version_info[:3]) -> SqliteFile:
        """Open ``path``, made with mode 0600 (its directory with 0700) when it does not exist.

        The caller holds ``bibd.lock``. Raises IntegrityError for a damaged file (then left as it is), BibdError
        when it cannot be opened.
        """
        with _translated(path):
            _create(path)
            unclean = _was_left_open(path)
            file = cls(path, max_open_conns, library, unclean=unclean)
            try:
                file._begin()
            except BaseException:
                file._close_idle()
                raise
        return file

    def __init__(self, path: Path, max_open_conns: int, library: Version, *, unclean: bool) -> None:
        self.path = path
        self.unclean = unclean
        self.warnings: tuple[str, ...] = ()
        self.journal_mode = "truncate" if has_wal_reset_bug(library) else "wal"
        self._library = ".".join(map(str, library))
        self._max_open_conns = max_open_conns
        self._identity = _identity(path)
        self._changed = threading.Condition()
        self._idle: list[sqlite3.Connection] = []
        self._in_use = 0
        self._closed = False

    @contextmanager
    def connection(self, timeout: float) -> Generator[sqlite3.Connection, None, None]:
        """A connection of one's own, in autocommit mode: BEGIN is written out. What is left open is rolled back.

        Raises BibdError when none is free within ``timeout`` seconds, or after ``close``.
        """
        connection = self._take(timeout)
        try:
            yield connection
        finally:
            self._give_back(connection)

    def ping(self, timeout: float = 5.0) -> None:
        """Read from the file. Raises BibdError when that fails, also when the file has been removed or replaced."""
        with _translated(self.path), self.connection(timeout) as connection:
            # SQLite goes on with the unlinked file, and whatever is written there is lost.
            if _identity(self.path) != self._identity:
                raise BibdError(
                    f"SQLite database {self.path} was replaced by another file while it was open",
                    "restart bibd to open the new one; copy databases with the backup commands only",
                )
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()

    def close(self, timeout: float = 5.0) -> bool:
        """Wait up to ``timeout`` seconds for connections in use, empty the WAL into the file, mark the clean stop.

        False when a connection was still in use, or the WAL could not be emptied: the next start then checks the
        file. A second call does nothing.
        """
        with self._changed:
            if self._closed:
                return True
            self._closed = True
            if not self._changed.wait_for(lambda: self._in_use == 0, timeout):
                self._close_idle()
                return False
        try:
            if self._idle:
                # To DELETE mode: an empty or never synced journal would stay beside the file.
                empty = "wal_checkpoint(TRUNCATE)" if self.journal_mode == "wal" else "journal_mode=DELETE"
                self._idle[-1].execute(f"PRAGMA {empty}").fetchone()
            self._close_idle()
            _mark(self.path).unlink(missing_ok=True)
            sync_directory(self.path.parent)
        except (sqlite3.Error, OSError):
            self._close_idle()
            return False
        return True

    def _begin(self) -> None:
        connection = self._connect()
        self._idle.append(connection)
        if self.unclean:
            # Recovers from the journal or the WAL first, as every first read does.
            _check_integrity(connection, self.path)
        write_file(_mark(self.path), b"A bibd has this database open, or was killed before it closed it.\n")
        self._set_journal_mode(connection)

    def _set_journal_mode(self, connection: sqlite3.Connection) -> None:
        if self.journal_mode == "wal":
            (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
            if mode == "wal":
                return
            self.journal_mode = "truncate"
            self.warnings += (f"{self.path}: the file system does not support WAL mode; using a rollback journal",)
        else:
            self.warnings += (
                f"SQLite {self._library} may corrupt databases in WAL mode (https://sqlite.org/wal.html#walresetbug);"
                f" {self.path} uses a rollback journal instead, and readers wait for writers;"
                " a Python with SQLite 3.51.3 or newer uses WAL",
            )
        (mode,) = connection.execute("PRAGMA journal_mode=TRUNCATE").fetchone()
        if mode != "truncate":
            raise BibdError(
                f"SQLite database {self.path} stays in {mode} mode, which SQLite {self._library} may corrupt",
                "close every other program that has it open, then start bibd again",
            )

    def _connect(self) -> sqlite3.Connection:
        # mode=rw: a file that vanished is an error, not an empty database. isolation_level=None: no implicit BEGIN.
        # Each connection is used by one thread at a time, not always by the same.
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            # FULL: an acknowledged commit survives a power cut; in WAL mode NORMAL would lose the last ones
            # (https://sqlite.org/pragma.html#pragma_synchronous).
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            # A schema somebody else wrote may not call functions with side effects (https://sqlite.org/security.html).
            connection.execute("PRAGMA trusted_schema=OFF")
        except BaseException:
            connection.close()
            raise
        return connection

    def _take(self, timeout: float) -> sqlite3.Connection:
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or self._in_use < self._max_open_conns, timeout):
                raise BibdError(
                    f"all {self._max_open_conns} connections to {self.path} are in use",
                    "raise database.sqlite.max_open_conns, or try again later",
                )
            if self._closed:
                raise BibdError(f"SQLite database {self.path} is closed", "bibd is stopping; start it again")
            self._in_use += 1
            if self._idle:
                return self._idle.pop()
        connection: sqlite3.Connection | None = None
        try:
            with _translated(self.path):
                connection = self._connect()
                if self.journal_mode != "wal":  # WAL is a property of the file, the others of the connection
                    connection.execute("PRAGMA journal_mode=TRUNCATE").fetchone()
        except BaseException:
            if connection is not None:
                connection.close()
            with self._changed:
                self._in_use -= 1
                self._changed.notify_all()
            raise
        return connection

    def _give_back(self, connection: sqlite3.Connection) -> None:
        usable = True
        try:
            if connection.in_transaction:
                connection.rollback()
        except sqlite3.Error:
            usable = False
        with self._changed:
            self._in_use -= 1
            if usable:
                self._idle.append(connection)
            else:
                connection.close()
            self._changed.notify_all()

    def _close_idle(self) -> None:
        while self._idle:
            with suppress(sqlite3.Error):
                self._idle.pop().close()


@contextmanager
def _translated(path: Path) -> Generator[None, None, None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorname", "")
        if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            raise IntegrityError(
                f"{path} is damaged or not an SQLite database: {error}",
                "keep the file, restore a backup, or set database.sqlite.path to another file",
            ) from error
        raise BibdError(
            f"SQLite database {path} does not work: {error}",
            "close other programs that hold it locked"
            if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
            else "check its permissions and the free space of its file system",
        ) from error
    except OSError as error:
        raise BibdError(
            f"cannot use SQLite database {path}: {error.strerror}",
            "check database.sqlite.path, its permissions and the free space of its file system",
        ) from error


def _create(path: Path) -> None:
    with suppress(FileExistsError):
        path.parent.mkdir(mode=0o700, parents=True)
    with suppress(FileExistsError):
        # SQLite gives -wal, -shm and -journal the mode of this file.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        sync_directory(path.parent)
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise BibdError(f"{path} is not a regular file", "set database.sqlite.path to another one")
    if stat.S_IMODE(found.st_mode) & 0o077:
        path.chmod(0o600)


def _was_left_open(path: Path) -> bool:
    """A mark of ours, or a journal that holds something: who stops cleanly leaves neither."""
    return _mark(path).exists() or any(
        journal.exists() and journal.stat().st_size > 0
        for journal in (path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-journal"))
    )


def _check_integrity(connection: sqlite3.Connection, path: Path) -> None:
    findings = [row[0] for row in connection.execute("PRAGMA integrity_check(5)")]
    if findings != ["ok"]:
        raise IntegrityError(
            f"SQLite database {path} is damaged: {'; '.join(findings)}",
            "it was not closed cleanly; keep the file and restore a backup",
        )


def _mark(path: Path) -> Path:
    return path.with_name(f"{path.name}-open")


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
