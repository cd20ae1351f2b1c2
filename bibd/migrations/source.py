"""Migration files: ``NNNNNN_name.up.sql`` and ``.down.sql``, the format of golang-migrate."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bibd.errors import BibdError

_FILE_NAME = re.compile(r"(?P<version>[0-9]{1,18})_(?P<name>[A-Za-z0-9_-]+)\.(?P<direction>up|down)\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    up: str
    down: str | None
    checksum: str
    """SHA-256 of the up file, hexadecimal."""

    @property
    def title(self) -> str:
        return f"{self.version:06}_{self.name}"


def builtin(backend: Literal["postgres", "sqlite"]) -> tuple[Migration, ...]:
    """The migrations of bibd's own schema."""
    return read(Path(__file__).parent / "builtin" / backend)


def read(directory: Path) -> tuple[Migration, ...]:
    """The migrations in ``directory``, numbered 1, 2, 3 … without a gap, in order.

    Files that do not end in ``.sql`` are not looked at. Raises BibdError for a bad name, a gap, two files with one
    number and a file that cannot be read.
    """
    found: dict[int, dict[str, Path]] = {}
    for path in _sql_files(directory):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise BibdError(
                f"{path} is not named like a migration", "name it NNNNNN_name.up.sql or NNNNNN_name.down.sql"
            )
        sides = found.setdefault(int(match["version"]), {})
        if match["direction"] in sides:
            raise BibdError(
                f"two migrations have the number {int(match['version'])}: {sides[match['direction']]} and {path}",
                "give the newer one the next free number",
            )
        sides[match["direction"]] = path
    migrations = tuple(_migration(version, sides) for version, sides in sorted(found.items()))
    for expected, migration in enumerate(migrations, start=1):
        if migration.version != expected:
            raise BibdError(
                f"migration {expected} is missing in {directory}: {migration.title} comes after {expected - 1}",
                "restore the missing file, or renumber the files that follow",
            )
    return migrations


def _sql_files(directory: Path) -> list[Path]:
    try:
        return sorted(path for path in directory.iterdir() if path.suffix == ".sql")
    except OSError as error:
        raise BibdError(
            f"cannot read the migrations in {directory}: {error.strerror}", "check that the directory exists"
        ) from error


def _migration(version: int, sides: dict[str, Path]) -> Migration:
    if "up" not in sides:
        raise BibdError(f"{sides['down']} has no .up.sql beside it", "add it, or remove this file")
    match = _FILE_NAME.fullmatch(sides["up"].name)
    assert match is not None  # noqa: S101 - it was matched to get here
    if "down" in sides and sides["down"].name != sides["up"].name.replace(".up.sql", ".down.sql"):
        raise BibdError(
            f"two migrations have the number {version}: {sides['up']} and {sides['down']}",
            "give both files of a migration the same name",
        )
    up = _content(sides["up"])
    return Migration(
        version=version,
        name=match["name"],
        up=_text(sides["up"], up),
        down=_text(sides["down"], _content(sides["down"])) if "down" in sides else None,
        checksum=hashlib.sha256(up).hexdigest(),
    )


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BibdError(f"cannot read {path}: {error.strerror}", "check its permissions") from error


def _text(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BibdError(f"{path} is not UTF-8 (byte {error.start})", "save it as UTF-8") from error
