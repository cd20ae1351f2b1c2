"""The daemon's answers about migrations as tables, sentences and SQL. Pure, like ``render``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from bibd.cli.cells import Json, coloured, fact_lines, joined, moment, new_table, plain
from bibd.cli.render import migration_state

if TYPE_CHECKING:
    from rich.table import Table

SHOWN_OF_CHECKSUM = 12


def title(step: Json) -> str:
    """As the files are called, ``000004_add_orders``."""
    return f"{step['version']:06}_{step['name']}"


def report_view(report: Json) -> RenderableType:
    head = fact_lines(_report_facts(report))
    return Group(head, Text(""), _rows(report["migrations"])) if report["migrations"] else head


def plan_view(plan: Json) -> RenderableType:
    if not plan["steps"] and not plan["adopted"]:
        return Text("nothing to do")
    parts: list[RenderableType] = [_text_of_adopted(plan["adopted"])] if plan["adopted"] else []
    if plan["steps"]:
        steps = new_table("", "MIGRATION", "STATEMENTS", "IN ONE TRANSACTION", "WHY")
        for step in plan["steps"]:
            one = Text("yes") if step["transactional"] else Text("no", "yellow")
            steps.add_row(
                plain(step["direction"]), plain(title(step)), str(step["statements"]), one, plain(step["why"])
            )
        parts.append(steps)
    if _has_down(plan):
        parts.append(plain(_restore_points(plan)))
    return Group(*parts)


def run_view(report: Json) -> RenderableType:
    lines = [Text("adopted: ").append_text(plain(name)) for name in report["adopted"]]
    lines += [Text("ran: ").append_text(plain(name)) for name in report["ran"]]
    lines += [Text("restore point: ").append_text(plain(path)) for path in report["restore_points"]]
    if not lines:
        lines.append(Text("nothing to do"))
    took = f"{len(report['ran'])} run in {report['seconds']:.2f} s" if report["ran"] else None
    lines.append(Text.assemble(("Migration State: ", "bold"), joined(migration_state(report), took)))
    return Group(*lines)


def script(plan: Json) -> str:
    """The SQL of a plan in order, each file under a comment that says how it runs; it can be fed to psql."""
    parts = [f"-- recorded as applied, not run: {_one_line(name)}" for name in plan["adopted"]]
    steps = plan["steps"]
    for number, step in enumerate(steps, start=1):
        how = "in one transaction" if step["transactional"] else "statement by statement, each on its own"
        parts.append(
            f"-- {number}/{len(steps)} {step['direction']} {_one_line(title(step))}"
            f" ({_count(step['statements'], 'statement')}, {how}): {_one_line(step['why'])}\n{step['sql'].strip()}\n"
        )
    return "\n".join(parts).rstrip("\n") if parts else "-- nothing to do"


def undone(plan: Json) -> str:
    """What a plan would undo, in sentences; empty when it undoes nothing."""
    titles = [title(step) for step in plan["steps"] if step["direction"] == "down"]
    if not titles:
        return ""
    lines = [f"this undoes {_count(len(titles), 'migration')}:", *(f"  {name}" for name in titles)]
    return "\n".join([*lines, _restore_points(plan)])


@dataclass(frozen=True, slots=True)
class Forced:
    """What ``migrate force`` changes in the version table: titles that it records as applied, and that it forgets."""

    version: int
    recorded: tuple[str, ...]
    forgotten: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        return {"version": self.version, "recorded": list(self.recorded), "forgotten": list(self.forgotten)}

    def text(self) -> str:
        lines = [f"this records version {self.version} and runs nothing; no restore point is made"]
        lines += [f"  recorded as applied: {name}" for name in self.recorded]
        lines += [f"  recorded as not applied: {name}" for name in self.forgotten]
        if not self.recorded and not self.forgotten:
            lines.append("  it is recorded already")
        return "\n".join(lines)


def forced(report: Json, version: int) -> Forced:
    rows: Sequence[Json] = report["migrations"]
    return Forced(
        version,
        tuple(title(row) for row in rows if row["version"] <= version and row["state"] != "applied"),
        tuple(title(row) for row in rows if row["version"] > version and row["state"] != "pending"),
    )


def _report_facts(report: Json) -> Iterator[tuple[str, Text]]:
    yield "Migration State", migration_state(report)
    if report["action"]:
        yield "Action", plain(report["action"])
    yield "Table", plain(report["table"])
    yield "Path", plain(report["path"] or "none: set database.migrations.path")


def _rows(rows: Sequence[Json]) -> Table:
    view = new_table("MIGRATION", "STATE", "APPLIED (UTC)", "BY", "STATEMENTS", "IN ONE TRANSACTION", "CHECKSUM")
    for row in rows:
        view.add_row(
            plain(title(row)),
            coloured(row["state"]),
            moment(row["applied_at"]) if row["applied_at"] else "-",
            plain(row["applied_by"] or "-"),
            str(row["statements"]),
            "yes" if row["transactional"] else "no",
            plain(row["checksum"][:SHOWN_OF_CHECKSUM]),
        )
    return view


def _has_down(plan: Json) -> bool:
    return any(step["direction"] == "down" for step in plan["steps"])


def _restore_points(plan: Json) -> str:
    directory = plan["restore_point_directory"]
    where = f" in {directory}" if directory else ""
    return f"before each of them, what it touches is dumped to a restore point{where}"


def _text_of_adopted(names: Sequence[str]) -> Text:
    return plain(f"recorded as applied, not run: {', '.join(names)}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _one_line(value: str) -> str:
    return " ".join(value.split())
