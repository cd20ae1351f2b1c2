"""``bib migrate``: real files, no daemon."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Bib


@pytest.fixture
def directory(home: Path) -> Path:
    return home / "m"


@pytest.fixture
def made(directory: Path, bib: Bib) -> Path:
    """Two migrations, summed."""
    for name in ("users", "by_day"):
        assert bib("migrate", "new", name, "--dir", str(directory)).code == 0
    write(directory / "000001_users.up.sql", "CREATE TABLE users (id bigint);\n")
    write(directory / "000001_users.down.sql", "DROP TABLE users;\n")
    write(directory / "000002_by_day.up.sql", "CREATE INDEX by_day ON users (id);\n")
    write(directory / "000002_by_day.down.sql", "DROP INDEX by_day;\n")
    assert bib("migrate", "sum", "--dir", str(directory)).code == 0
    return directory


def write(path: Path, sql: str) -> None:
    path.write_text(sql)


def test_new_makes_the_pair_and_prints_its_paths(directory: Path, bib: Bib) -> None:
    shown = bib("migrate", "new", "add users", "--dir", str(directory))
    pair = [directory / "000001_add_users.up.sql", directory / "000001_add_users.down.sql"]
    assert (shown.code, shown.out.splitlines(), shown.err) == (0, [str(path) for path in pair], "")
    assert all(path.is_file() for path in pair)
    assert "000001_add_users" in (directory / "bibd.sum").read_text()
    second = json.loads(bib("migrate", "new", "x", "--dir", str(directory), "-o", "json").out)
    assert second == {
        "up": str(directory / "000002_x.up.sql"),
        "down": str(directory / "000002_x.down.sql"),
        "sums": str(directory / "bibd.sum"),
    }


def test_without_dir_and_configuration_it_is_below_the_working_directory(
    home: Path, bib: Bib, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    assert bib("migrate", "new", "x").out.splitlines()[0] == "migrations/000001_x.up.sql"
    assert (home / "migrations/000001_x.up.sql").is_file()
    assert bib("migrate", "check").code == 0


def test_the_configured_directory_is_used(home: Path, bib: Bib) -> None:
    config = home / "c.yaml"
    config.write_text(f"database: {{migrations: {{path: {home}/app}}}}\n")
    assert bib("migrate", "new", "x", "--config", str(config)).code == 0
    assert (home / "app/000001_x.up.sql").is_file()


def test_dir_and_backend_need_no_configuration(home: Path, made: Path, bib: Bib) -> None:
    config = home / "broken.yaml"
    config.write_text("nonsense: true\n")
    broken = ("--config", str(config))
    assert bib("migrate", "check", "--dir", str(made), "--backend", "postgres", *broken).code == 0
    assert bib("migrate", "check", "--dir", str(made), *broken).code == 78
    assert bib("migrate", "sum", *broken).code == 78


def test_a_name_that_no_file_can_have_is_a_usage_error(directory: Path, bib: Bib) -> None:
    assert bib("migrate", "new", "../x", "--dir", str(directory)).code == 2
    assert not directory.exists()


def test_sum_says_what_changed(made: Path, bib: Bib) -> None:
    def summed() -> list[str]:
        return bib("migrate", "sum", "--dir", str(made)).out.splitlines()

    assert summed() == ["nothing has changed"]
    write(made / "000002_by_day.up.sql", "SELECT 1;\n")
    assert summed() == ["changed: 000002_by_day"]
    bib("migrate", "new", "third", "--dir", str(made))
    assert summed() == ["summed: 000003_third"]
    for path in made.glob("000003_*"):
        path.unlink()
    assert summed() == ["removed: 000003_third"]
    (made / "bibd.sum").unlink()
    assert summed() == ["added: 000001_users", "added: 000002_by_day"]
    write(made / "bibd.sum", "<<<<<<< HEAD\nnonsense \x1b[31m\n>>>>>>> branch\n")
    as_json = json.loads(bib("migrate", "sum", "--dir", str(made), "-o", "json").out)
    assert as_json["changes"] == [
        {"change": "added", "migration": "000001_users"},
        {"change": "added", "migration": "000002_by_day"},
    ]
    assert bib("migrate", "check", "--dir", str(made)).code == 0


def test_check_of_good_files_names_what_is_worth_knowing(made: Path, bib: Bib) -> None:
    assert bib("migrate", "check", "--dir", str(made)).out == f"{made}: valid for postgres, migrations: 2\n"
    index = made / "000002_by_day.up.sql"
    write(index, "CREATE INDEX CONCURRENTLY by_day ON users (id);\n")
    (made / "000002_by_day.down.sql").unlink()
    assert bib("migrate", "check", "--dir", str(made)).code == 5
    (made / "bibd.sum").unlink()
    assert bib("migrate", "check", "--dir", str(made)).out.splitlines() == [
        f"statement by statement, not in one transaction: {index}",
        "no down file: 000002_by_day",
        f"{made}: valid for postgres, migrations: 2, no bibd.sum: bib migrate sum makes it",
    ]
    bib("migrate", "sum", "--dir", str(made))
    bib("migrate", "new", "third", "--dir", str(made))
    found = json.loads(bib("migrate", "check", "--dir", str(made), "-o", "json").out)
    assert found == {
        "valid": True,
        "directory": str(made),
        "backend": "postgres",
        "migrations": 3,
        "sums": True,
        "drafts": ["000003_third"],
        "not_transactional": [str(index)],
        "without_down": ["000002_by_day"],
    }


def test_check_names_every_file_that_has_an_error_with_line_and_column(made: Path, bib: Bib) -> None:
    up, down = made / "000001_users.up.sql", made / "000002_by_day.down.sql"
    write(up, "SELECT 1;\n\n  SELCT x;\n")
    (made / "bibd.sum").unlink()
    one = bib("migrate", "check", "--dir", str(made))
    assert (one.code, one.out) == (1, "")
    assert one.err.startswith(f"error: {up}:3:3: ")
    assert "HINT: " in one.err
    write(down, "DROP INDX x;\n")
    both = bib("migrate", "check", "--dir", str(made))
    assert both.err.startswith(f"error: 2 files have errors:\n{up}:3:3: ")
    assert f"\n{down}:1:6: " in both.err
    assert str(up) in json.loads(bib("migrate", "check", "--dir", str(made), "-o", "json").err)["error"]["message"]


def test_check_reads_sqlite_for_sqlite(made: Path, bib: Bib) -> None:
    (made / "bibd.sum").unlink()
    write(made / "000002_by_day.up.sql", "CREATE TABLE t (x INTEGER PRIMARY KEY AUTOINCREMENT) STRICT;\n")
    assert bib("migrate", "check", "--dir", str(made), "--backend", "sqlite").code == 0
    assert bib("migrate", "check", "--dir", str(made), "--backend", "postgres").code == 1


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("000001_users.up.sql", b"SELECT 1;", 5),
        ("000002_by_day.down.sql", None, 5),
        ("000003_extra.up.sql", b"", 5),
        ("000004_gap.up.sql", b"", 1),
        ("000002_twice.up.sql", b"", 1),
        ("users.sql", b"", 1),
        ("000001_users.up.sql", b"\xff", 1),
    ],
)
def test_files_that_are_not_in_order_fail_with_a_hint(
    made: Path, bib: Bib, name: str, content: bytes | None, code: int
) -> None:
    if content is None:
        (made / name).unlink()
    else:
        (made / name).write_bytes(content)
    shown = bib("migrate", "check", "--dir", str(made))
    assert (shown.code, shown.out) == (code, "")
    assert "\nHINT: " in shown.err


def test_a_directory_that_is_not_there_is_an_error(directory: Path, bib: Bib) -> None:
    for words in ("check", "sum"):
        assert bib("migrate", words, "--dir", str(directory)).code == 1
    assert not directory.exists()
