"""The answers of the daemon as tables. Pure: they take the JSON objects of bibd.admin.schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bibd.cli.output import printable

Json = Mapping[str, Any]

_STYLES = {
    "ready": "green",
    "running": "green",
    "current": "green",
    "starting": "yellow",
    "degraded": "yellow",
    "draining": "yellow",
    "backoff": "yellow",
    "restarting": "yellow",
    "failed": "red",
    "abandoned": "red",
    "dirty": "red",
}


def status_view(status: Json) -> RenderableType:
    facts = _facts(_status_facts(status))
    return Group(facts, Text(""), _children(status))


def health_view(report: Json) -> RenderableType:
    table = _table("CHECK", "RESULT", "SECONDS", "DETAIL")
    for check in report["checks"]:
        result = Text("ok", "green") if check["ok"] else Text("failed", "red")
        table.add_row(_text(check["name"]), result, f"{check['seconds']:.3f}", _text(check["detail"]))
    verdict = "healthy" if report["healthy"] else "unhealthy"
    return Group(Text.assemble(verdict, ", ", _state(report["state"])), table)


def operations_view(operations: Sequence[Json]) -> RenderableType:
    table = _table("ID", "KIND", "STATE", "PROGRESS", "STARTED (UTC)", "OWNER")
    for operation in operations:
        progress = operation["progress"]
        table.add_row(
            _text(operation["id"]),
            _text(operation["kind"]),
            _state(operation["state"]),
            "-" if progress is None else f"{progress:.0%}",
            _moment(operation["started_at"]),
            _text(operation["owner"]),
        )
    return table


def _status_facts(status: Json) -> Iterator[tuple[str, Text]]:
    node = Text.assemble(_state(status["state"]), f"  pid {status['pid']}  mode {status['mode']}")
    runtime = f" ({status['runtime']})" if status["runtime"] else ""
    yield "Node State", node.append(f"  backend {status['backend']}{runtime}")
    if status["node_id"]:
        yield "Node", _text(status["node_id"])
    started = f"{_moment(status['started_at'])} UTC"
    if status["ready_at"]:
        started += f", ready after {_seconds(status['started_at'], status['ready_at']):.2f} s"
    yield "Started", Text(started)
    database = status["database"]
    probed = f"last probe {_moment(database['last_probe'])} UTC" if database["last_probe"] else None
    yield "Database State", _joined(_state(database["state"]), database["version"], database["url"], probed)
    migrations = status["migrations"]
    version = f"(version {'none' if migrations['version'] is None else migrations['version']}"
    pending = f", {migrations['pending']} pending)" if migrations["pending"] else ")"
    yield "Migration State", Text.assemble(_state(migrations["state"]), " ", version, pending)
    backups = status["backups"]
    if any(value is not None for value in backups.values()):
        score = None if backups["score"] is None else f"score {backups['score']:.2f}"
        last = f"last {_moment(backups['last'])} UTC" if backups["last"] else "none yet"
        upcoming = f"next {_moment(backups['next'])} UTC" if backups["next"] else None
        yield "Backups", _joined(Text(last), upcoming, score)
    if report := status["shutdown"]:
        clean = "clean" if report["clean"] else "not clean"
        at = f"{_moment(report['started_at'])} UTC, {report['seconds']:.1f} s"
        yield "Last Shutdown", _joined(Text(clean), report["reason"], at)


def _children(status: Json) -> Table:
    table = _table("CHILD", "STATE", "GENERATION", "RESTARTS", "READY AFTER", "READY (UTC)", "LAST ERROR")
    for depth, child in _walk(status["children"]):
        ready = child["ready_at"]
        table.add_row(
            Text("  " * depth + printable(child["id"])),
            _state(child["state"]),
            str(child["generation"]),
            str(child["restarts"]),
            f"{_seconds(status['started_at'], ready):.2f} s" if ready else "-",
            _moment(ready)[11:] if ready else "-",
            _text(child["last_error"] or "-"),
        )
    return table


def _walk(children: Sequence[Json], depth: int = 0) -> Iterator[tuple[int, Json]]:
    for child in children:
        yield depth, child
        yield from _walk(child.get("children", ()), depth + 1)


def _table(*headers: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for header in headers:
        right = header in {"GENERATION", "RESTARTS", "READY AFTER", "SECONDS", "PROGRESS"}
        table.add_column(header, justify="right" if right else "left", header_style="bold", overflow="fold")
    return table


def _facts(facts: Iterator[tuple[str, Text]]) -> RenderableType:
    return Group(*(Text.assemble((f"{name}: ", "bold"), value, overflow="fold") for name, value in facts))


def _joined(first: Text, *others: str | None) -> Text:
    return Text("  ").join([first, *(_text(other) for other in others if other)])


def _state(state: str) -> Text:
    return Text(printable(state), _STYLES.get(state, ""))


def _text(value: str) -> Text:
    return Text(printable(value).replace("\n", " "))


def _moment(timestamp: str) -> str:
    return _parsed(timestamp).strftime("%Y-%m-%d %H:%M:%S")


def _seconds(start: str, end: str) -> float:
    return (_parsed(end) - _parsed(start)).total_seconds()


def _parsed(timestamp: str) -> datetime:
    return datetime.fromisoformat(timestamp).astimezone(UTC)
