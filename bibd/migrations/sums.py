"""``bibd.sum``: the migrations of a directory and their checksums, one a line, kept beside them in version control.

Two branches that add a migration both add a line at the end: git reports a conflict when they are merged, where two
files of different names would merge in silence. ::

    bibd.sum 1
    000001_users sha256:9f86d0… sha256:60303a…
    000002_index sha256:a3c1f0… -
    000003_roles draft

``-``: there is no down file. ``draft``: not summed yet, because it is still being written (``new.create``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from bibd.errors import BibdError, IntegrityError
from bibd.migrations.source import Migration

FILE_NAME = "bibd.sum"
_HEADER = "bibd.sum 1"
_DRAFT = "draft"
_LINE = re.compile(
    rf"(?P<title>[0-9]+_\S+) (?:{_DRAFT}|sha256:(?P<up>[0-9a-f]{{64}}) (?:-|sha256:(?P<down>[0-9a-f]{{64}})))"
)
_REWRITE = "when the change is meant: bib migrate sum"


def render(migrations: Sequence[Migration], drafts: Collection[str] = ()) -> str:
    """The content of ``bibd.sum``; ``drafts`` are titles that are not summed yet."""
    lines = [f"{m.title} {_DRAFT if m.title in drafts else _sums(m)}" for m in migrations]
    return "\n".join([_HEADER, *lines, ""])


def verify(directory: Path, migrations: Sequence[Migration]) -> None:
    """Raises IntegrityError, naming the first file that is not as ``bibd.sum`` has it. Without one, all is well."""
    listed = _read(directory / FILE_NAME)
    if listed is None:
        return
    found = {migration.title: migration for migration in migrations}
    for title in sorted(found.keys() | listed.keys(), key=lambda title: (int(title.partition("_")[0]), title)):
        migration = found.get(title)
        if migration is None:
            raise IntegrityError(
                f"{directory / f'{title}.up.sql'} is missing: {FILE_NAME} has it", f"restore it; or, {_REWRITE}"
            )
        if title not in listed:
            raise IntegrityError(f"{migration.up_path} is not in {FILE_NAME}", f"remove it; or, {_REWRITE}")
        if (sums := listed[title]) is not None:
            _compare(migration.up_path, sums[0], migration.checksum)
            _compare(migration.up_path.with_name(f"{title}.down.sql"), sums[1], migration.down_checksum)


def _compare(path: Path, then: str | None, now: str | None) -> None:
    if then == now:
        return
    if then is None:
        raise IntegrityError(f"{path} is not in {FILE_NAME}", f"remove it; or, {_REWRITE}")
    if now is None:
        raise IntegrityError(f"{path} is missing: {FILE_NAME} has it", f"restore it; or, {_REWRITE}")
    raise IntegrityError(
        f"{path} is not what {FILE_NAME} has (SHA-256 {then[:12]}… there, {now[:12]}… now)",
        f"restore the file as it was; or, {_REWRITE}",
    )


def _sums(migration: Migration) -> str:
    down = "-" if migration.down_checksum is None else f"sha256:{migration.down_checksum}"
    return f"sha256:{migration.checksum} {down}"


def _read(path: Path) -> dict[str, tuple[str, str | None] | None] | None:
    """Title to checksums of up and down file (None: a draft); None when there is no such file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise BibdError(f"cannot read {path}: {error}", "check its permissions; or restore it") from error
    if any(line.startswith(("<<<<<<< ", ">>>>>>> ")) for line in lines):
        raise IntegrityError(
            f"{path} has a merge conflict: two branches added migrations",
            "give the newer one the next free number, then: bib migrate sum",
        )
    if lines[:1] != [_HEADER]:
        raise IntegrityError(f"{path}:1: the first line is not {_HEADER!r}", f"restore it; or, {_REWRITE}")
    listed: dict[str, tuple[str, str | None] | None] = {}
    for number, line in enumerate(lines[1:], start=2):
        match = _LINE.fullmatch(line)
        if match is None or match["title"] in listed:
            raise IntegrityError(
                f"{path}:{number}: not a line of {FILE_NAME}, or twice: {line[:80]!r}", f"restore it; or, {_REWRITE}"
            )
        listed[match["title"]] = None if match["up"] is None else (match["up"], match["down"])
    return listed
