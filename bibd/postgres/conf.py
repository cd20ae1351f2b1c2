"""``postgresql.conf``: complete, written by bibd, the operator's ``settings`` last."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bibd.config.owned_settings import owner_of
from bibd.errors import ConfigError

Value = str | int | float | bool

# guc-file.l: letters, digits, underscores and dollars; one dot qualifies an extension's.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)?", re.ASCII)
_ESCAPES = str.maketrans({"\\": "\\\\", "'": "''", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"})


@dataclass(frozen=True, slots=True)
class Tls:
    certificate: Path
    key: Path


def quote(value: Value) -> str:
    """A value as postgresql.conf takes it (PostgreSQL documentation, 19.1.2). Raises ValueError for NUL."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | float):
        return f"'{value}'"
    if "\0" in value:
        raise ValueError("holds a NUL character")
    value.encode()  # UnicodeEncodeError, a ValueError: a lone surrogate is no text
    return f"'{value.translate(_ESCAPES)}'"


def memory_settings(memory_mb: int) -> dict[str, Value]:
    """Shares of the memory given to the server, in MB.

    shared_buffers: "a reasonable starting value … is 25%" (PostgreSQL documentation, 19.4.1);
    effective_cache_size: shared buffers and the kernel's cache together, 75 %; maintenance_work_mem: 1/16, at most
    2 GB, as a session may hold one per autovacuum worker (both as pgtune has them).
    """
    return {
        "shared_buffers": f"{max(16, memory_mb // 4)}MB",
        "effective_cache_size": f"{max(16, memory_mb * 3 // 4)}MB",
        "maintenance_work_mem": f"{min(2048, max(16, memory_mb // 16))}MB",
    }


def check_settings(settings: Mapping[str, Value]) -> None:
    """Raises ConfigError for a name that is none, is bibd's own, or a value that cannot be written."""
    for name, value in settings.items():
        key = f"database.postgres.settings.{name}"
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{key}: {name!r} is not the name of a PostgreSQL setting", "see postgresql.conf")
        if reason := owner_of(name):
            raise ConfigError(f"{key} is set by bibd", reason)
        try:
            quote(value)
        except ValueError as error:
            raise ConfigError(f"{key}: the value {error}", "remove that character") from error


def render(
    *,
    bind_address: str,
    port: int,
    run: Path,
    max_connections: int,
    memory_mb: int,
    cluster_name: str,
    tls: Tls | None,
    settings: Mapping[str, Value],
) -> str:
    """The whole file. Raises ConfigError for ``settings`` that cannot be used."""
    check_settings(settings)
    ours: dict[str, Value] = {
        "listen_addresses": bind_address,
        "port": port,
        "unix_socket_directories": _quoted_in_list(str(run)),
        "unix_socket_permissions": "0700",
        "max_connections": max_connections,
        "cluster_name": cluster_name,
        "password_encryption": "scram-sha-256",
        **memory_settings(memory_mb),
        # To stderr, which is the log file. Statements are not logged: they may hold secrets.
        "log_destination": "stderr",
        "logging_collector": False,
        "log_line_prefix": "%m [%p] %q%u@%d %a ",
        "log_statement": "none",
        "log_min_duration_statement": -1,
        "log_checkpoints": True,
        "log_lock_waits": True,
        "log_timezone": "UTC",
        "timezone": "UTC",
        "datestyle": "iso, mdy",
        "lc_messages": "C",  # bibd reads messages
        "default_text_search_config": "pg_catalog.english",
        **_tls_settings(tls),
    }
    lines = ["# Written by bibd at each start; changes are lost: use database.postgres.settings."]
    lines += [f"{name} = {quote(value)}" for name, value in ours.items()]
    lines += ["", "# database.postgres.settings"]
    lines += [f"{name} = {quote(value)}" for name, value in settings.items()]
    return "\n".join([*lines, ""])


def _tls_settings(tls: Tls | None) -> dict[str, Value]:
    if tls is None:
        return {}
    return {
        "ssl": True,
        "ssl_cert_file": str(tls.certificate),
        "ssl_key_file": str(tls.key),
        "ssl_min_protocol_version": "TLSv1.2",  # RFC 9325, 3.1.1
    }


def _quoted_in_list(item: str) -> str:
    """An element of a comma-separated list setting (SplitDirectoriesString): in double quotes, doubled inside."""
    doubled = item.replace('"', '""')
    return f'"{doubled}"'
