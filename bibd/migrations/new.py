"""Write a new pair of migration files, and the checksums of those that are there."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from bibd.durable import write_file
from bibd.errors import BibdError, UsageError
from bibd.migrations import sums
from bibd.migrations.source import FIRST_TIMESTAMP, NAME, Migration, read

_DIGITS = 6

# Readable by all, as files under version control are.
_MODE = 0o644

_UP = "-- {title}\n"
_DOWN = "-- Undo {title} here; or remove this file, if it cannot be undone.\n"


def create(directory: Path, name: str, now: datetime) -> tuple[Path, Path]:
    """Write ``<number>_<name>.up.sql`` and ``.down.sql``, for a person to fill; returns their paths.

    The number continues the directory's own: a sequence, or the time ``now`` (aware) in the form of its newest file;
    never one that is not the newest. The directory is made if need be. In ``bibd.sum`` the pair is a draft, and what
    was one becomes final. Raises UsageError for a name that no file can have, and BibdError like ``source.read`` and
    ``sums.verify``; then nothing was written.
    """
    word = "_".join(name.split())
    if not NAME.fullmatch(word):
        raise UsageError(
            f"{name!r} is no name for a migration", "use letters, digits, _ . + and -, for example: add_users"
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        migrations = read(directory)
        sums.verify(directory, migrations)
        title = f"{_number(migrations, now)}_{word}"
        up, down = directory / f"{title}.up.sql", directory / f"{title}.down.sql"
        write_file(up, _UP.format(title=title).encode(), mode=_MODE)
        write_file(down, _DOWN.format(title=title).encode(), mode=_MODE)
        _write_sums(directory, drafts=(title,))
    except OSError as error:
        raise BibdError(
            f"cannot write a migration in {directory}: {error.strerror}", "check its permissions and free space"
        ) from error
    return up, down


def write_sums(directory: Path) -> Path:
    """Write ``bibd.sum`` for the files as they are now; returns its path. Raises BibdError like ``source.read``."""
    try:
        return _write_sums(directory, drafts=())
    except OSError as error:
        raise BibdError(
            f"cannot write {directory / sums.FILE_NAME}: {error.strerror}", "check its permissions and free space"
        ) from error


def _write_sums(directory: Path, drafts: tuple[str, ...]) -> Path:
    path = directory / sums.FILE_NAME
    write_file(path, sums.render(read(directory), drafts).encode(), mode=_MODE)
    return path


def _number(migrations: tuple[Migration, ...], now: datetime) -> str:
    if not migrations:
        return f"{1:0{_DIGITS}}"
    newest = migrations[-1]
    width = len(newest.title.partition("_")[0])
    if newest.version < FIRST_TIMESTAMP:
        return f"{newest.version + 1:0{width}}"
    # A clock that is behind, or a file from the future: still a number after the newest.
    return f"{max(_timestamp(width, now), newest.version + 1):0{width}}"


def _timestamp(digits: int, now: datetime) -> int:
    """In golang-migrate's forms: seconds (10 digits) or nanoseconds (19) since 1970, else YYYYMMDDHHMMSS in UTC."""
    match digits:
        case 10:
            return int(now.timestamp())
        case 19:
            return int(now.timestamp() * 1_000_000) * 1000
        case _:
            return int(now.astimezone(UTC).strftime("%Y%m%d%H%M%S"))
