"""What the tests of the engine say again and again."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import psycopg

from bibd.migrations import sqlite_script
from bibd.migrations.backend import Progress, StepProgress
from bibd.migrations.engine import Migrator, Outcome, Retry
from bibd.migrations.plan import Goal, UpAll
from bibd.migrations.postgres import PostgresMigrations, Session, user_table
from bibd.migrations.postgres_script import parse
from bibd.migrations.restore_point import RestorePoint
from bibd.migrations.source import Migration, read
from bibd.migrations.sqlite import SqliteMigrations
from bibd.postgres.endpoint import Endpoint

TABLE = user_table("schema_migrations")
SEEDED = Random(20261122)  # noqa: S311 - jitter, no secret
PASSWORD = r"se:cr\et'1"


@dataclass(frozen=True, slots=True)
class Server:
    """A PostgreSQL on a Unix socket. As in production ``bibd`` owns the databases, and is no superuser."""

    run: Path
    binaries: Path

    def endpoint(self, dbname: str, user: str = "bibd") -> Endpoint:
        return Endpoint(host=str(self.run), port=5432, dbname=dbname, user=user, password=PASSWORD)

    def connect(self, dbname: str, user: str = "bibd", application_name: str = "test") -> psycopg.Connection:
        return connect(self.endpoint(dbname, user), application_name)

    def create(self, dbname: str) -> None:
        with self.connect("postgres", "postgres") as admin:
            admin.execute(f"CREATE DATABASE {dbname} OWNER bibd".encode())

    def drop(self, dbname: str) -> None:
        with self.connect("postgres", "postgres") as admin:
            admin.execute(f"DROP DATABASE IF EXISTS {dbname} WITH (FORCE)".encode())

    def tool(self, name: str, *arguments: str | Path) -> str:
        """Run a client program as the superuser; returns what it wrote."""
        return subprocess.run(
            [self.binaries / name, "-h", self.run, "-U", "postgres", *arguments],
            check=True,
            stdout=subprocess.PIPE,
            env={"PGPASSWORD": PASSWORD, "LC_ALL": "C"},
            encoding="utf-8",
        ).stdout

    def schema(self, dbname: str) -> str:
        """All that is in a database: definitions and rows, without what differs between two equal ones."""
        dump = self.tool("pg_dump", "--exclude-table-data=bibd_migrations.*", dbname)
        dump = re.sub(r"^(--.*|\\(un)?restrict .*|)\n", "", dump, flags=re.MULTILINE)
        return re.sub(r"(?<=FROM stdin;\n).*?(?=^\\\.$)", _in_order, dump, flags=re.MULTILINE | re.DOTALL)


def _in_order(rows: re.Match[str]) -> str:
    """Where a row lies in its table depends on what was rolled back there."""
    return "".join(sorted(rows[0].splitlines(keepends=True)))


def connect(endpoint: Endpoint, application_name: str) -> psycopg.Connection:
    return psycopg.connect(**endpoint.parameters(), application_name=application_name, autocommit=True)  # type: ignore[arg-type]


def migrations_in(directory: Path, files: Mapping[str, str]) -> tuple[Migration, ...]:
    """Write ``{"000001_a.up": SQL}`` and read it all."""
    directory.mkdir(exist_ok=True)
    for stem, sql in files.items():
        (directory / f"{stem}.sql").write_text(sql)
    return read(directory)


def migrator(
    session: Session,
    migrations: Sequence[Migration],
    *,
    lock_timeout: float = 5.0,
    restore_point: RestorePoint | None = None,
    retry: Retry | None = None,
) -> Migrator:
    return Migrator(
        PostgresMigrations(session, TABLE, random=SEEDED),
        migrations,
        parse=parse,
        applied_by="a test",
        lock_timeout=lock_timeout,
        restore_point=restore_point,
        random=SEEDED,
        retry=retry,
    )


def sqlite_migrator(
    connection: sqlite3.Connection,
    migrations: Sequence[Migration],
    *,
    lock_timeout: float = 5.0,
    restore_point: RestorePoint | None = None,
    retry: Retry | None = None,
) -> Migrator:
    return Migrator(
        SqliteMigrations(connection, "schema_migrations", random=SEEDED),
        migrations,
        parse=sqlite_script.parse,
        applied_by="a test",
        lock_timeout=lock_timeout,
        restore_point=restore_point,
        random=SEEDED,
        retry=retry,
    )


@contextmanager
def temporary_database(server: Server, dbname: str) -> Generator[psycopg.Connection]:
    """A database for this block, and a connection to it."""
    server.create(dbname)
    try:
        with server.connect(dbname) as connection:
            yield connection
    finally:
        server.drop(dbname)


def nothing(_: StepProgress) -> None:
    """A progress that nobody follows."""


def run(migrator: Migrator, goal: Goal | None = None, progress: Progress = nothing, adopt: bool = False) -> Outcome:
    return migrator.run(goal or UpAll(), progress=progress, cancel=threading.Event(), adopt=adopt)


def query(session: psycopg.Connection, sql: str) -> list[tuple[Any, ...]]:
    return session.execute(sql.encode()).fetchall()
