"""Which rows and columns a script may change or drop, as far as its text tells.

What is only structure (indexes, triggers, constraints, functions, grants) is not counted: the migration files have it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bibd.migrations.postgres_statement import (
    UNSEEN,
    Fields,
    Node,
    called,
    names,
    qualified,
    sets_configuration,
    walk,
)
from bibd.migrations.script import Touched

_RELATIONS = {"OBJECT_TABLE", "OBJECT_FOREIGN_TABLE", "OBJECT_MATVIEW", "OBJECT_SEQUENCE", "OBJECT_VIEW"}
_COLUMNS_STAY = {
    "AT_AddColumn",
    "AT_AddConstraint",
    "AT_AddIndex",
    "AT_ChangeOwner",
    "AT_ColumnDefault",
    "AT_DisableRowSecurity",
    "AT_DisableTrig",
    "AT_DropConstraint",
    "AT_DropNotNull",
    "AT_EnableRowSecurity",
    "AT_EnableTrig",
    "AT_ForceRowSecurity",
    "AT_NoForceRowSecurity",
    "AT_ReplicaIdentity",
    "AT_ResetRelOptions",
    "AT_SetNotNull",
    "AT_SetRelOptions",
    "AT_SetStatistics",
    "AT_ValidateConstraint",
}
_WRITES = {"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"}
# What is written in it does not run now.
_DEFINITIONS = {"CreateFunctionStmt", "RuleStmt"}
_OPAQUE = {"DoStmt", "CallStmt", "ExecuteStmt", "DropOwnedStmt", "DropdbStmt", UNSEEN[0]}


def touched_by(nodes: Iterable[Node]) -> Touched:
    relations: set[tuple[str, ...]] = set()
    everything = moved = False
    for node in nodes:
        found = set(_relations(node))
        # After SET search_path a name without a schema means another table than it does to whoever reads this.
        everything = everything or _opaque(node) or (moved and any(len(name) == 1 for name in found))
        moved = moved or _moves_search_path(node)
        relations |= found
    return Touched(tuple(sorted(qualified(name) for name in relations)), everything)


def _relations(node: Node) -> Iterator[tuple[str, ...]]:
    match node:
        case "DropStmt", {"removeType": kind, "objects": objects}:
            if kind in _RELATIONS:
                yield from (names(item["List"]["items"]) for item in objects)
        case "AlterTableStmt", {"cmds": commands, "relation": relation}:
            if any(command["AlterTableCmd"]["subtype"] not in _COLUMNS_STAY for command in commands):
                yield _name(relation)
        case "TruncateStmt", {"relations": relations}:
            yield from (_name(item["RangeVar"]) for item in relations)
        case (
            ("RenameStmt" | "AlterObjectSchemaStmt" | "RefreshMatViewStmt", {"relation": relation})
            | ("AlterSeqStmt", {"sequence": relation})
            | ("CopyStmt", {"is_from": True, "relation": relation})
            | ("ViewStmt", {"replace": True, "view": relation})
        ):
            yield _name(relation)
        case name, fields if name not in _DEFINITIONS:
            # WITH … (DELETE …), EXPLAIN ANALYZE
            for inner, below in (node, *walk(fields)):
                if inner in _WRITES:
                    yield _name(below["relation"])
        case _:
            pass


def _name(relation: Fields) -> tuple[str, ...]:
    return tuple(relation[part] for part in ("schemaname", "relname") if part in relation)


def _opaque(node: Node) -> bool:
    """Whether it may do what its text does not say."""
    match node:
        case (("DropStmt" | "TruncateStmt"), {"behavior": "DROP_CASCADE"}):
            return True
        case "DropStmt", {"removeType": "OBJECT_EXTENSION"}:
            return True  # which has tables of its own
        case "AlterTableStmt", {"cmds": commands}:
            return any(command["AlterTableCmd"]["behavior"] == "DROP_CASCADE" for command in commands)
        case "SelectStmt", _:
            # Functions called for what they do, not for what they return.
            return bool(called(node) - {"set_config"})
        case name, _:
            return name in _OPAQUE


def _moves_search_path(node: Node) -> bool:
    match node:
        case "VariableSetStmt", fields:
            # SET ROLE moves "$user", RESET ALL anything.
            return fields.get("name", "role") in {"search_path", "role", "session_authorization"}
        case _:
            return sets_configuration(node)
