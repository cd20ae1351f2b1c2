"""The state table of PostgreSQL as SQL text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bibd.migrations.backend import Change, Delete, Row, Update
from bibd.migrations.plan import Applied


@dataclass(frozen=True, slots=True)
class StateTable:
    schema: str
    name: str

    def __str__(self) -> str:
        return f"{identifier(self.schema)}.{identifier(self.name)}"


# One row a migration. applied_at is null while a file runs statement by statement, and when it was cut off.
CREATE = """
CREATE TABLE {table} (
    version       bigint      PRIMARY KEY CHECK (version > 0),
    name          text        NOT NULL,
    checksum      text        NOT NULL, -- SHA-256 of the .up.sql file, hexadecimal
    down_checksum text,
    transactional boolean     NOT NULL,
    done          integer     NOT NULL, -- statements finished
    statements    integer     NOT NULL,
    step_hashes   text        NOT NULL, -- JSON: the SHA-256 of each statement, where they run one by one
    direction     text        NOT NULL CHECK (direction IN ('up', 'down')),
    applied_at    timestamptz,
    applied_by    text        NOT NULL,
    failure       text
)"""

SELECT = """
SELECT version, name, checksum, down_checksum, applied_at IS NOT NULL, done, statements, transactional, step_hashes,
       direction, applied_at, applied_by, failure
FROM {table} ORDER BY version"""
_INSERT = "INSERT INTO {table} ({columns}) VALUES ({values})"
_UPDATE = "UPDATE {table} SET {pairs} WHERE version = {version}"
_DELETE = "DELETE FROM {table} WHERE version = {version}"


def row(values: Sequence[Any]) -> Row:
    version, name, checksum, down, applied, done, total, transactional, hashes, direction, at, by, failure = values
    steps = tuple(json.loads(hashes))
    entry = Applied(version, name, checksum, down, applied, done, total, transactional, steps, direction)
    return Row(entry, at, by, failure)


def render(table: StateTable, changes: Sequence[Change]) -> str:
    """As text: with parameters it would be a second round trip, and the statement before it a prepared one."""
    return "; ".join(_change(table, change) for change in changes)


def _change(table: StateTable, change: Change) -> str:
    if isinstance(change, Delete):
        return _DELETE.format(table=table, version=change.version)
    entry = change.entry
    values = {
        "name": _literal(entry.name),
        "checksum": _literal(entry.checksum),
        "down_checksum": _literal(entry.down_checksum),
        "transactional": str(entry.transactional),
        "done": str(entry.done),
        "statements": str(entry.statements),
        "step_hashes": _literal(json.dumps(entry.step_hashes)),
        "direction": _literal(entry.direction),
        "applied_at": "clock_timestamp()" if entry.applied else "NULL",
    }
    if isinstance(change, Update):
        values["failure"] = _literal(change.failure)
        pairs = ", ".join(f"{name} = {value}" for name, value in values.items())
        return _UPDATE.format(table=table, pairs=pairs, version=entry.version)
    values |= {"version": str(entry.version), "applied_by": _literal(change.applied_by)}
    return _INSERT.format(table=table, columns=", ".join(values), values=", ".join(values.values()))


def _literal(value: str | None) -> str:
    """E'' means the same whatever standard_conforming_strings is (PostgreSQL documentation, 4.1.2.2)."""
    if value is None:
        return "NULL"
    return "E'" + value.replace("\\", "\\\\").replace("'", "''").replace("\0", "") + "'"


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
