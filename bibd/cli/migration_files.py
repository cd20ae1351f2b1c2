"""``bib migrate``: the files of your own migrations, without a daemon."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bibd.cli.groups import group, help_when_alone
from bibd.cli.output import emit, emit_json, printable
from bibd.cli.session import Session, command
from bibd.errors import BibdError

if TYPE_CHECKING:
    from bibd.migrations.script import Script
    from bibd.migrations.source import Migration

DEFAULT_DIRECTORY = Path("migrations")

app = group()

_Dir = Annotated[
    Path | None,
    typer.Option("--dir", metavar="DIR", help="Else database.migrations.path, else ./migrations.", show_default=False),
]


class Backend(StrEnum):
    POSTGRES = "postgres"
    SQLITE = "sqlite"


@app.callback(invoke_without_command=True)
def migrate(context: typer.Context) -> None:
    """Write and check the files of your migrations. No daemon is needed; "bib admin migrate" runs them.

    \b
    Exit codes: 0 ok, 1 the files are not in order, 5 they are not those of bibd.sum,
    78 the configuration cannot work
    """
    help_when_alone(context)


@command(app, "new", socket=False)
def new(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it does, in a word or two: add_users.")],
    *,
    directory: _Dir = None,
) -> None:
    """Make the pair of files of a new migration, with the next number.

    In bibd.sum it is a draft, free to be edited, until "bib migrate sum" or the next "bib migrate new".

    \b
    Examples:
      bib migrate new add_users
      $EDITOR $(bib migrate new add_users --dir db/migrations)
    """
    from bibd.migrations.new import create
    from bibd.migrations.sums import FILE_NAME

    place = _directory(session, directory)
    up, down = create(place, name, datetime.now(UTC))
    if session.as_json:
        emit_json({"up": str(up), "down": str(down), "sums": str(place / FILE_NAME)})
    else:
        emit(printable(f"{up}\n{down}"))


@command(app, "sum", socket=False)
def sum_(session: Session, *, directory: _Dir = None) -> None:
    """Write the checksums of all files to bibd.sum.

    Says which migrations were added, removed, changed, or summed for the first time.

    Commit bibd.sum with the files: two branches that add the same number then conflict in git.

    \b
    Example:
      bib migrate sum && git add migrations
    """
    from bibd.migrations.new import write_sums
    from bibd.migrations.source import read
    from bibd.migrations.sums import FILE_NAME, render

    place = _directory(session, directory)
    changes = tuple(_changes(_entries(_old_sums(place / FILE_NAME)), _entries(render(read(place)))))
    if not session.as_json:
        for change, title in changes:
            emit(printable(f"{change}: {title}"))
    write_sums(place)
    if session.as_json:
        listed = [{"change": change, "migration": title} for change, title in changes]
        emit_json({"sums": str(place / FILE_NAME), "changes": listed})
    elif not changes:
        emit("nothing has changed")


@command(app, "check", socket=False)
def check(
    session: Session,
    *,
    directory: _Dir = None,
    backend: Annotated[
        Backend | None, typer.Option("--backend", help="Whose SQL it is, else as configured.", show_default=False)
    ] = None,
) -> None:
    """Check names, numbers, bibd.sum, and the syntax of every file.

    The daemon does the same before it runs any of them.

    \b
    Examples:
      bib migrate check
      bib migrate check --dir db/migrations --backend postgres     # reads no configuration
    """
    from bibd.migrations.source import read
    from bibd.migrations.sums import FILE_NAME, verify

    place = _directory(session, directory)
    dialect = backend or Backend(session.loaded().settings.database.backend)
    migrations = read(place)
    verify(place, migrations)
    scripts = _parsed(migrations, dialect)
    apart = [str(script.path) for script in scripts if not script.transactional]
    lonely = [migration.title for migration in migrations if migration.down is None]
    drafts = [title for title, sums in _entries(_old_sums(place / FILE_NAME)).items() if sums == "draft"]
    if session.as_json:
        found = {"valid": True, "directory": str(place), "backend": dialect, "migrations": len(migrations)}
        emit_json(
            {
                **found,
                "sums": (place / FILE_NAME).exists(),
                "drafts": drafts,
                "not_transactional": apart,
                "without_down": lonely,
            }
        )
        return
    for path in apart:
        emit(printable(f"statement by statement, not in one transaction: {path}"))
    for title in lonely:
        emit(printable(f"no down file: {title}"))
    for title in drafts:
        emit(printable(f"not summed yet (bib migrate sum does it): {title}"))
    checked = "" if (place / FILE_NAME).exists() else f", no {FILE_NAME}: bib migrate sum makes it"
    emit(printable(f"{place}: valid for {dialect}, migrations: {len(migrations)}{checked}"))


def _directory(session: Session, given: Path | None) -> Path:
    if given is not None:
        return given
    configured = session.loaded().settings.database.migrations.path
    return Path(configured) if configured else DEFAULT_DIRECTORY


def _parsed(migrations: Sequence[Migration], backend: Backend) -> list[Script]:
    """Every file of them. Raises BibdError that names every file with an error, not only the first."""
    parse = _parser(backend)
    scripts: list[Script] = []
    errors: list[BibdError] = []
    for text, path in _files(migrations):
        try:
            scripts.append(parse(text, path))
        except BibdError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise BibdError(f"{len(errors)} files have errors:\n" + "\n".join(error.message for error in errors))
    return scripts


def _parser(backend: Backend) -> Callable[[str, Path], Script]:
    if backend is Backend.POSTGRES:
        from bibd.migrations.postgres_script import parse as parse_postgres

        return parse_postgres
    from bibd.migrations.sqlite_script import parse as parse_sqlite

    return parse_sqlite


def _files(migrations: Sequence[Migration]) -> Iterator[tuple[str, Path]]:
    for migration in migrations:
        yield migration.up, migration.up_path
        if migration.down is not None and migration.down_path is not None:
            yield migration.down, migration.down_path


def _old_sums(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise BibdError(f"cannot read {path}: {error.strerror}", "check its permissions") from None


def _entries(sums: str) -> dict[str, str]:
    """Title -> checksums, of a file that may be anything: it is about to be replaced."""
    lines = (line.partition(" ") for line in sums.splitlines()[1:])
    return {title: checksums for title, _, checksums in lines if title[:1].isdigit()}


def _changes(old: dict[str, str], new_: dict[str, str]) -> Iterator[tuple[str, str]]:
    for title in sorted(old.keys() | new_.keys()):
        if title not in old:
            yield "added", title
        elif title not in new_:
            yield "removed", title
        elif old[title] != new_[title]:
            yield "summed" if old[title] == "draft" else "changed", title
