"""500 small migrations on an empty database, beside yoyo-migrations and one `psql -1 -f`, in one run.

    python -m benchmarks.migrations [MIGRATIONS] [ROUNDS]

One server of the wheel's PostgreSQL, with its default durability (fsync on), on a disk. The sides take turns, each on a
database of its own; medians. ``bibd`` and ``yoyo`` are timed from the files on disk to the last commit, in a process
that has its driver loaded as the daemon has (``bibd`` imports its parser within the time); ``psql`` is a process of
milliseconds, with all the SQL in one file and one transaction. ``psql, one by one`` commits each file, as bibd does.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import psycopg

from benchmarks import running
from benchmarks.running import timed
from bibd.migrations.engine import Migrator
from bibd.migrations.plan import UpAll
from bibd.migrations.postgres import PostgresMigrations, user_table
from bibd.migrations.source import read
from bibd.postgres.binaries import wheel_package

PORT = 54328


@dataclass(frozen=True, slots=True)
class Server:
    socket: Path
    binaries: Path

    def connect(self, dbname: str) -> psycopg.Connection:
        return psycopg.connect(host=str(self.socket), port=PORT, user="postgres", dbname=dbname, autocommit=True)

    def fresh(self, dbname: str) -> None:
        with self.connect("postgres") as admin:
            admin.execute(f"DROP DATABASE IF EXISTS {dbname}".encode())
            admin.execute(f"CREATE DATABASE {dbname}".encode())
            admin.execute(b"CHECKPOINT")


def main(count: int, rounds: int) -> None:
    with running.directory() as path, serving(path) as server:
        files = written(path / "files", count)
        sides: dict[str, Callable[[], float]] = {
            "psql -1": lambda: psql(server, path, files, together=True),
            "bibd": lambda: bibd(server, path / "files" / "bibd"),
            "yoyo": lambda: yoyo(server, path / "files" / "yoyo"),
            "psql, one by one": lambda: psql(server, path, files, together=False),
        }
        figures: dict[str, list[float]] = {}
        names = list(sides)
        for turn in range(rounds):
            # Each begins as often as the others: what one leaves to the disk to do, the next one waits for.
            for side in names[turn % len(names) :] + names[: turn % len(names)]:
                server.fresh("bench")
                os.sync()
                figures.setdefault(side, []).append(sides[side]())
        nothing_to_do = no_op(server, path / "files" / "bibd")
    median = {side: statistics.median(seconds) for side, seconds in figures.items()}
    for side in sides:
        seconds = median[side]
        spread = f"{min(figures[side]):.3f}-{max(figures[side]):.3f}"
        print(f"{side:17} {seconds:.3f} s ({spread}), {1000 * seconds / count:.2f} ms each")
    print(f"bibd / psql -1: {median['bibd'] / median['psql -1']:.2f} (goal: at most 1.2)")
    print(f"bibd / yoyo: {median['bibd'] / median['yoyo']:.2f} (goal: below 1)")
    print(f"bibd / psql, one by one: {median['bibd'] / median['psql, one by one']:.2f}")
    print(f"{count} applied, nothing to do: {1000 * nothing_to_do:.1f} ms")


def written(directory: Path, count: int) -> list[Path]:
    for name in ("bibd", "yoyo"):
        (directory / name).mkdir(parents=True)
    plain: list[Path] = []
    for number in range(1, count + 1):
        up = f"CREATE TABLE t{number} (id int PRIMARY KEY, name text NOT NULL);\n"
        if number % 5 == 0:
            up = f"ALTER TABLE t{number - 1} ADD extra int DEFAULT {number};\n"
        plain.append(directory / "bibd" / f"{number:06}_step.up.sql")
        plain[-1].write_text(up)
        (directory / "yoyo" / f"{number:06}_step.sql").write_text(up)
    return plain


def bibd(server: Server, directory: Path) -> float:
    # As a daemon that has started, but has parsed nothing yet.
    for name in [name for name in sys.modules if name.startswith(("pglast", "bibd.migrations.postgres_s"))]:
        del sys.modules[name]
    with server.connect("bench") as session:
        return timed(lambda: migrate(session, directory))


def migrate(session: psycopg.Connection, directory: Path) -> None:
    from bibd.migrations.postgres_script import parse

    migrator = Migrator(
        PostgresMigrations(session, user_table("schema_migrations"), random=Random()),  # noqa: S311 - jitter
        read(directory),
        parse=parse,
        applied_by="a benchmark",
        lock_timeout=5,
        restore_point=None,
        random=Random(),  # noqa: S311
    )
    assert migrator.run(UpAll(), progress=lambda _: None, cancel=threading.Event()).state == "clean"


def no_op(server: Server, directory: Path) -> float:
    server.fresh("bench")
    with server.connect("bench") as session:
        migrate(session, directory)
        return statistics.median(timed(lambda: migrate(session, directory)) for _ in range(9))


def yoyo(server: Server, directory: Path) -> float:
    peer: Any = importlib.import_module("yoyo")
    backend = peer.get_backend(f"postgresql+psycopg://postgres@/bench?host={server.socket}&port={PORT}")

    def apply() -> None:
        migrations = peer.read_migrations(str(directory))
        with backend.lock():
            backend.apply_migrations(backend.to_apply(migrations))

    try:
        return timed(apply)
    finally:
        backend.connection.close()


def psql(server: Server, path: Path, files: list[Path], *, together: bool) -> float:
    script = path / "all.sql"
    script.write_text("".join(file.read_text() for file in files))
    command = [
        *(str(server.binaries / "psql"), "-X", "-q", "-h", str(server.socket), "-p", str(PORT), "-U", "postgres"),
        *("-d", "bench", "-v", "ON_ERROR_STOP=1", "-f", str(script), *(["-1"] if together else [])),
    ]
    return timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))


@contextlib.contextmanager
def serving(path: Path) -> Generator[Server]:
    package = wheel_package()
    assert package is not None
    binaries = path / package.name / "pginstall" / "bin"
    for name in (package.name, f"{package.name}.libs"):
        shutil.copytree(package.parent / name, path / name, symlinks=True)
    user = "nobody" if os.geteuid() == 0 else None
    data, socket = path / "data", path / "run"
    for made in (data, socket):
        made.mkdir(mode=0o711)
        if user is not None:
            shutil.chown(made, user)
    subprocess.run(
        [binaries / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "--no-instructions"],
        check=True,
        user=user,
        cwd="/",
        stdout=subprocess.DEVNULL,
    )
    server = Server(socket, binaries)
    arguments = [str(binaries / "postgres"), "-D", str(data), "-k", str(socket), "-p", str(PORT)]
    with subprocess.Popen(
        [*arguments, "-c", "listen_addresses="], user=user, cwd="/", stderr=subprocess.DEVNULL
    ) as postmaster:
        try:
            while True:
                try:
                    server.connect("postgres").close()
                    break
                except psycopg.OperationalError:
                    assert postmaster.poll() is None, "PostgreSQL did not start"
                    time.sleep(0.02)
            yield server
        finally:
            postmaster.terminate()
            postmaster.wait()


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    main(*(numbers + [500, 8][len(numbers) :]))
