"""What tables are made of: columns, facts, moments, and text of which a terminal obeys nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    "mismatch": "red",
    "missing": "red",
    "edited": "red",
    "clean": "green",
    "applied": "green",
    "pending": "yellow",
}


def new_table(*headers: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for header in headers:
        right = header in {"GENERATION", "RESTARTS", "READY AFTER", "SECONDS", "PROGRESS", "STATEMENTS"}
        table.add_column(header, justify="right" if right else "left", header_style="bold", overflow="fold")
    return table


def fact_lines(facts: Iterator[tuple[str, Text]]) -> RenderableType:
    return Group(*(Text.assemble((f"{name}: ", "bold"), value, overflow="fold") for name, value in facts))


def joined(first: Text, *others: str | None) -> Text:
    return Text("  ").join([first, *(plain(other) for other in others if other)])


def coloured(state: str) -> Text:
    return Text(printable(state), _STYLES.get(state, ""))


def plain(value: str) -> Text:
    return Text(printable(value).replace("\n", " "))


def moment(timestamp: str) -> str:
    return _parsed(timestamp).strftime("%Y-%m-%d %H:%M:%S")


def seconds_between(start: str, end: str) -> float:
    return (_parsed(end) - _parsed(start)).total_seconds()


def _parsed(timestamp: str) -> datetime:
    return datetime.fromisoformat(timestamp).astimezone(UTC)
