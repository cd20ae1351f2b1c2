"""What PostgreSQL's parser says of one statement: where it may run, and whether it may run again.

A ``Node`` is an entry of its tree: the name of a struct of PostgreSQL's parsenodes.h, and the struct's fields that are
not zero.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, cast

from bibd.migrations.script import Restart

Fields = Mapping[str, Any]
Node = tuple[str, Fields]

# Instead of one that is nested too deeply to be looked at; queries are, and what is defined by one.
UNSEEN: Node = ("", {})

_IDEMPOTENT = {
    "AlterSystemStmt",
    "CheckPointStmt",
    "ClusterStmt",
    "CommentStmt",
    "GrantStmt",
    "ListenStmt",
    "LoadStmt",
    "RefreshMatViewStmt",
    "ReindexStmt",
    "VacuumStmt",
    "VariableSetStmt",
}
_QUERIES = {"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "DoStmt", "CallStmt"}


def refused_in_transaction(node: Node) -> bool:
    """Whether PostgreSQL refuses it in a transaction block: its calls of PreventInTransactionBlock()."""
    match node:
        case (
            ("IndexStmt" | "DropStmt", {"concurrent": True})
            | ("VacuumStmt", {"is_vacuumcmd": True})
            | ("AlterSystemStmt" | "CreatedbStmt" | "DropdbStmt" | "DropSubscriptionStmt", _)
            | ("CreateTableSpaceStmt" | "DropTableSpaceStmt", _)
            | ("ReindexStmt", {"kind": "REINDEX_OBJECT_SCHEMA" | "REINDEX_OBJECT_SYSTEM" | "REINDEX_OBJECT_DATABASE"})
            | ("AlterSubscriptionStmt", {"kind": "ALTER_SUBSCRIPTION_REFRESH"})
        ):
            return True
        case "ClusterStmt", fields:
            refused = "relation" not in fields
        case "ReindexStmt", fields:
            refused = _option(fields, "concurrently") is True
        case "AlterDatabaseStmt", fields:
            refused = _option(fields, "tablespace") is not None
        case "AlterTableStmt", fields:
            refused = any(name == "PartitionCmd" and "concurrent" in inner for name, inner in walk(fields))
        case "CreateSubscriptionStmt", fields:
            slot = _option(fields, "create_slot")
            refused = _option(fields, "connect") is not False if slot is None else slot
        case "AlterSubscriptionStmt", {"publication": _, **options}:
            refused = _option(options, "refresh") is not False
        case "AlterSubscriptionStmt", fields:
            # Both change the slot on the other side; two_phase only when it is switched off.
            refused = _option(fields, "failover") is not None or _option(fields, "two_phase") is False
        case _:
            refused = False
    return refused


def _option(fields: Fields, name: str) -> bool | None:
    """An option of the statement as defGetBoolean() reads it (alone it is true); None when it is not there."""
    for option in fields.get("options") or fields.get("params") or ():
        element = option["DefElem"]
        if element["defname"] == name:
            value = next(iter(element["arg"].values())) if "arg" in element else {"boolval": True}
            return str(value.get("sval", value.get("boolval", value.get("ival", 0)))).lower() in {"true", "on", "1"}
    return None


def may_commit(node: Node) -> bool:
    """Whether it may run a procedure that ends its transaction, which it may not inside a transaction block."""
    return node[0] in {"CallStmt", "DoStmt"}


def transaction_control(node: Node) -> Literal["begin", "commit", "savepoint", "other"] | None:
    match node:
        case "TransactionStmt", {"kind": "TRANS_STMT_BEGIN" | "TRANS_STMT_START", **more}:
            return "other" if "options" in more else "begin"
        case "TransactionStmt", {"kind": "TRANS_STMT_COMMIT", **more}:
            return "other" if "chain" in more else "commit"
        case "TransactionStmt", {"kind": "TRANS_STMT_SAVEPOINT" | "TRANS_STMT_RELEASE" | "TRANS_STMT_ROLLBACK_TO"}:
            return "savepoint"
        case "TransactionStmt", _:
            return "other"
        case _:
            return None


def refused_in_migrations(node: Node) -> tuple[str, str] | None:
    """What is wrong with it and what to do, when bibd cannot run it."""
    match node:
        case "CopyStmt", fields if "filename" not in fields:
            side = "FROM STDIN" if "is_from" in fields else "TO STDOUT"
            return f"COPY … {side} needs a client", "write the rows as INSERT (pg_dump --inserts does)"
        case "DiscardStmt", {"target": "DISCARD_ALL"}:
            return "DISCARD ALL would give up the lock that keeps other migrations away", "use RESET ALL"
        case _:
            return None


def restart(node: Node) -> Restart:
    """Whether it ends in the same place when it runs again."""
    name, fields = node
    match node:
        case "IndexStmt" | "DropStmt", {"concurrent": True}:
            # An interrupted one leaves its index INVALID, where it can be found by its name.
            safe = concurrent_index(node) is not None
        case "AlterTableStmt", {"cmds": commands}:
            safe = all("missing_ok" in command["AlterTableCmd"] for command in commands)
        case "AlterSubscriptionStmt", _:
            safe = fields["kind"] == "ALTER_SUBSCRIPTION_REFRESH"
        case _ if name.startswith("Drop"):
            safe = "missing_ok" in fields
        case _:
            repeatable = not fields.keys().isdisjoint({"if_not_exists", "skipIfNewValExists", "replace"})
            safe = name in _IDEMPOTENT or repeatable or sets_configuration(node)
    return "safe" if safe and not _is_temporary(fields) else "unsafe"


def changes_session(node: Node) -> bool:
    """Whether later statements would miss it in a new session."""
    match node:
        case "VariableSetStmt", fields:
            return "is_local" not in fields and fields.get("name") not in {"TRANSACTION", "TRANSACTION SNAPSHOT"}
        case (("LoadStmt" | "ListenStmt" | "PrepareStmt" | "DeclareCursorStmt"), _):
            return True
        case _, fields:
            return _is_temporary(fields) or sets_configuration(node)


def _is_temporary(fields: Fields) -> bool:
    into: Fields = fields.get("into") or fields.get("intoClause") or {}
    relation: Fields = fields.get("relation") or fields.get("view") or fields.get("sequence") or into.get("rel") or {}
    return relation.get("relpersistence") == "t" or relation.get("schemaname") == "pg_temp"


def sets_configuration(node: Node) -> bool:
    """``SELECT pg_catalog.set_config(…)``, with which a script of pg_dump begins."""
    return node[0] == "SelectStmt" and "set_config" in called(node)


def called(node: Node) -> set[str]:
    """The functions that are called in it, without their schemas."""
    return {names(fields["funcname"])[-1] for name, fields in walk(node[1]) if name == "FuncCall"}


def concurrent_index(node: Node) -> str | None:
    """The index that it builds or drops CONCURRENTLY, when it is named."""
    match node:
        case "IndexStmt", {"concurrent": True, "idxname": name, "relation": table}:
            return qualified((table.get("schemaname", ""), name))  # an index lives in the schema of its table
        case "DropStmt", {"concurrent": True, "objects": [{"List": {"items": parts}}]}:
            return qualified(names(parts))
        case _:
            return None


def uses_new_enum_value(nodes: Sequence[Node], texts: Sequence[str]) -> int | None:
    """The index of the first ALTER TYPE … ADD VALUE whose value a later statement uses.

    PostgreSQL refuses the use before the end of the transaction, unless the type is as new as the value (manual,
    ALTER TYPE, notes). Uses hidden in functions are not seen: they fail in the transaction, and leave nothing behind.
    """
    created: set[str] = set()
    for index, node in enumerate(nodes):
        match node:
            case "CreateEnumStmt", {"typeName": parts}:
                created.add(names(parts)[-1])
            case "AlterEnumStmt", {"typeName": parts, "newVal": value, **more} if "oldVal" not in more:
                type_name = names(parts)[-1]
                later = zip(nodes[index + 1 :], texts[index + 1 :], strict=True)
                if type_name not in created and any(_mentions(*statement, type_name, value) for statement in later):
                    return index
            case _:
                pass
    return None


def _mentions(node: Node, text: str, type_name: str, value: str) -> bool:
    if node[0] in {"AlterEnumStmt", "CommentStmt"}:
        return False
    literal = "'" + value.replace("'", "''") + "'"
    return literal in text or (
        node[0] in _QUERIES and re.search(rf"\b{re.escape(type_name)}\b", text, re.IGNORECASE) is not None
    )


def names(parts: Sequence[Fields]) -> tuple[str, ...]:
    """A qualified name in pieces."""
    return tuple(part["String"]["sval"] for part in parts)


def qualified(parts: Sequence[str]) -> str:
    """A qualified name as in SQL, its pieces quoted where they need to be."""
    return ".".join(_quoted(part) for part in parts if part)


def _quoted(name: str) -> str:
    from pglast.keywords import RESERVED_KEYWORDS, TYPE_FUNC_NAME_KEYWORDS

    plain = re.fullmatch(r"[a-z_][a-z0-9_]*", name) and name not in RESERVED_KEYWORDS | TYPE_FUNC_NAME_KEYWORDS
    return name if plain else '"' + name.replace('"', '""') + '"'


def walk(fields: Fields) -> Iterator[Node]:
    """All nodes below."""
    left: list[object] = [fields]
    while left:
        item = left.pop()
        if isinstance(item, dict):
            for name, value in cast("dict[str, object]", item).items():
                if name[0].isupper():
                    yield name, cast("Fields", value)
                left.append(value)
        elif isinstance(item, list):
            left.extend(cast("list[object]", item))
