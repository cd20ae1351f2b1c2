"""The answers of the daemon as tables. Pure: they take the JSON objects of bibd.admin.schema."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bibd.cli.cells import Json, coloured, fact_lines, joined, moment, new_table, plain, seconds_between
from bibd.cli.output import printable


def status_view(status: Json) -> RenderableType:
    facts = fact_lines(_status_facts(status))
    return Group(facts, Text(""), _children(status))


def health_view(report: Json) -> RenderableType:
    table = new_table("CHECK", "RESULT", "SECONDS", "DETAIL")
    for check in report["checks"]:
        result = Text("ok", "green") if check["ok"] else Text("failed", "red")
        table.add_row(plain(check["name"]), result, f"{check['seconds']:.3f}", plain(check["detail"]))
    verdict = "healthy" if report["healthy"] else "unhealthy"
    return Group(Text.assemble(verdict, ", ", coloured(report["state"])), table)


def operations_view(operations: Sequence[Json]) -> RenderableType:
    table = new_table("ID", "KIND", "STATE", "PROGRESS", "STARTED (UTC)", "OWNER")
    for operation in operations:
        progress = operation["progress"]
        table.add_row(
            plain(operation["id"]),
            plain(operation["kind"]),
            coloured(operation["state"]),
            "-" if progress is None else f"{progress:.0%}",
            moment(operation["started_at"]),
            plain(operation["owner"]),
        )
    return table


def migration_state(migrations: Json) -> Text:
    """``dirty (version 5, 1 pending)``, of anything with state, version and pending."""
    version = f"(version {'none' if migrations['version'] is None else migrations['version']}"
    pending = f", {migrations['pending']} pending)" if migrations["pending"] else ")"
    return Text.assemble(coloured(migrations["state"]), " ", version, pending)


def _status_facts(status: Json) -> Iterator[tuple[str, Text]]:
    node = Text.assemble(coloured(status["state"]), f"  pid {status['pid']}  mode {status['mode']}")
    runtime = f" ({status['runtime']})" if status["runtime"] else ""
    yield "Node State", node.append(f"  backend {status['backend']}{runtime}")
    if status["node_id"]:
        yield "Node", plain(status["node_id"])
    started = f"{moment(status['started_at'])} UTC"
    if status["ready_at"]:
        started += f", ready after {seconds_between(status['started_at'], status['ready_at']):.2f} s"
    yield "Started", Text(started)
    database = status["database"]
    probed = f"last probe {moment(database['last_probe'])} UTC" if database["last_probe"] else None
    yield "Database State", joined(coloured(database["state"]), database["version"], database["url"], probed)
    migrations = status["migrations"]
    yield "Migration State", migration_state(migrations)
    if migrations["action"]:
        yield "Action", plain(migrations["action"])
    backups = status["backups"]
    if any(value is not None for value in backups.values()):
        score = None if backups["score"] is None else f"score {backups['score']:.2f}"
        last = f"last {moment(backups['last'])} UTC" if backups["last"] else "none yet"
        upcoming = f"next {moment(backups['next'])} UTC" if backups["next"] else None
        yield "Backups", joined(Text(last), upcoming, score)
    if report := status["shutdown"]:
        clean = "clean" if report["clean"] else "not clean"
        at = f"{moment(report['started_at'])} UTC, {report['seconds']:.1f} s"
        yield "Last Shutdown", joined(Text(clean), report["reason"], at)


def _children(status: Json) -> Table:
    table = new_table("CHILD", "STATE", "GENERATION", "RESTARTS", "READY AFTER", "READY (UTC)", "LAST ERROR")
    for depth, child in _walk(status["children"]):
        ready = child["ready_at"]
        table.add_row(
            Text("  " * depth + printable(child["id"])),
            coloured(child["state"]),
            str(child["generation"]),
            str(child["restarts"]),
            f"{seconds_between(status['started_at'], ready):.2f} s" if ready else "-",
            moment(ready)[11:] if ready else "-",
            plain(child["last_error"] or "-"),
        )
    return table


def _walk(children: Sequence[Json], depth: int = 0) -> Iterator[tuple[int, Json]]:
    for child in children:
        yield depth, child
        yield from _walk(child.get("children", ()), depth + 1)
