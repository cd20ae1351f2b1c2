"""Migration files: ``NNNNNN_name.up.sql`` and ``.down.sql``, the format of golang-migrate."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from bibd.errors import BibdError

# The name is a word: bibd.sum separates its columns by spaces.
NAME = re.compile(r"[\w.+-]+")
_FILE_NAME = re.compile(rf"(?P<version>[0-9]+)_(?P<name>{NAME.pattern})\.(?P<direction>up|down)\.sql")

# Below it, versions are a sequence: a number that is left out is a lost file. Above, they are points in time
# (seconds since 1970 had 9 digits in 1973), which leave numbers out by nature.
FIRST_TIMESTAMP = 10_000_000

# The version is a bigint in the state table; golang-migrate's longest, nanoseconds since 1970, fits.
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    up: str
    down: str | None
    checksum: str
    """SHA-256 of the up file's bytes, hexadecimal."""
    down_checksum: str | None
    up_path: Path
    down_path: Path | None

    @property
    def title(self) -> str:
        """The part that its files' names share: ``000001_name``."""
        return self.up_path.name.removesuffix(".up.sql")


def builtin(backend: Literal["postgres", "sqlite"]) -> tuple[Migration, ...]:
    """The migrations of bibd's own schema."""
    return read(Path(__file__).parent / "builtin" / backend)


def read(directory: Path) -> tuple[Migration, ...]:
    """The migrations in ``directory``, by version. Files that do not end in ``.sql`` are not looked at.

    A sequence may start at any number, and may go on as timestamps. Raises BibdError for a bad name, a gap in a
    sequence, two migrations with one version, a down file without its up file, and a file that is not UTF-8 text or
    cannot be read.
    """
    found: dict[int, dict[str, Path]] = {}
    for path in _sql_files(directory):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise BibdError(
                f"{path} is not named like a migration", "name it NNNNNN_name.up.sql or NNNNNN_name.down.sql"
            )
        version = int(match["version"])
        if not 0 < version <= _LARGEST:
            raise BibdError(f"{path}: a version is a number from 1 to {_LARGEST}", "give it another number")
        sides = found.setdefault(version, {})
        if match["direction"] in sides:
            raise _duplicate(version, sides[match["direction"]], path)
        sides[match["direction"]] = path
    migrations = tuple(_migration(version, sides) for version, sides in sorted(found.items()))
    _refuse_gaps(migrations, directory)
    return migrations


def _sql_files(directory: Path) -> list[Path]:
    try:
        return sorted(path for path in directory.iterdir() if path.suffix.lower() == ".sql")
    except OSError as error:
        raise BibdError(
            f"cannot read the migrations in {directory}: {error.strerror}", "check that the directory exists"
        ) from error


def _refuse_gaps(migrations: Iterable[Migration], directory: Path) -> None:
    for before, after in pairwise(m for m in migrations if m.version < FIRST_TIMESTAMP):
        if after.version != before.version + 1:
            lost = (
                f"migration {before.version + 1} is"
                if after.version == before.version + 2
                else (f"migrations {before.version + 1} to {after.version - 1} are")
            )
            raise BibdError(
                f"{lost} missing in {directory}: {after.title} comes after {before.title}",
                "restore what is missing, or renumber the files that follow",
            )


def _migration(version: int, sides: dict[str, Path]) -> Migration:
    if "up" not in sides:
        raise BibdError(f"{sides['down']} has no .up.sql beside it", "add it, or remove this file")
    up_path, down_path = sides["up"], sides.get("down")
    stem = up_path.name.removesuffix(".up.sql")
    if down_path is not None and down_path.name != f"{stem}.down.sql":
        raise _duplicate(version, up_path, down_path)
    up, down = _content(up_path), None if down_path is None else _content(down_path)
    return Migration(
        version=version,
        name=stem.partition("_")[2],
        up=_text(up_path, up),
        down=None if down_path is None or down is None else _text(down_path, down),
        checksum=hashlib.sha256(up).hexdigest(),
        down_checksum=None if down is None else hashlib.sha256(down).hexdigest(),
        up_path=up_path,
        down_path=down_path,
    )


def _duplicate(version: int, one: Path, other: Path) -> BibdError:
    return BibdError(
        f"two migrations have the number {version}: {one} and {other}",
        "give the newer one the next free number, and both files of a migration the same name",
    )


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BibdError(f"cannot read {path}: {error.strerror}", "check its permissions") from error


def _text(path: Path, content: bytes) -> str:
    # Both parsers are C code, which would take what follows a zero byte for not there.
    if (zero := content.find(b"\0")) >= 0:
        raise BibdError(f"{path} is not a text file (byte {zero} is zero)", "save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BibdError(f"{path} is not UTF-8 (byte {error.start})", "save it as UTF-8") from error
