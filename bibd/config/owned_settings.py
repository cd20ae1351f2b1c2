"""Settings of postgresql.conf that bibd writes itself: refused in ``database.postgres.settings``."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

# name -> what to do instead. Names are compared in lower case, as PostgreSQL does.
OWNED: dict[str, str] = {
    "listen_addresses": "use database.postgres.bind_address",
    "port": "use database.postgres.port",
    "max_connections": "use database.postgres.max_connections",
    "data_directory": "use database.postgres.data_dir",
    "config_file": "bibd writes the file",
    "hba_file": "bibd writes the file",
    "ident_file": "bibd writes the file",
    "external_pid_file": "bibd finds the server by its own",
    "unix_socket_directories": "the socket is in postgres/run of the data directory",
    "unix_socket_group": "only the account of bibd may reach the socket",
    "unix_socket_permissions": "only the account of bibd may reach the socket",
    "cluster_name": "it is the node's",
    "logging_collector": "bibd reads the server's log, and keeps it in log.dir",
    "log_destination": "bibd reads the server's log, and keeps it in log.dir",
    "lc_messages": "bibd reads the server's messages",
    "password_encryption": "passwords are always SCRAM-SHA-256",
    "archive_mode": "archiving belongs to database.backup.wal_archiving",
    "archive_command": "archiving belongs to database.backup.wal_archiving",
    "archive_library": "archiving belongs to database.backup.wal_archiving",
    "restore_command": "restoring belongs to bibd",
    "archive_cleanup_command": "restoring belongs to bibd",
    "primary_conninfo": "replication belongs to cluster.replication",
    "primary_slot_name": "replication belongs to cluster.replication",
    "include": "bibd writes the file as a whole",
    "include_dir": "bibd writes the file as a whole",
    "include_if_exists": "bibd writes the file as a whole",
}
# Every setting that starts so: ssl, ssl_cert_file, ssl_ciphers…; recovery_target, recovery_end_command…
OWNED_PREFIXES: dict[str, str] = {
    "ssl": "use database.postgres.tls",
    "recovery_": "restoring belongs to bibd",
}
# A setting's name, with the prefix of an extension or without (PostgreSQL's guc-file.l: ID, QUALIFIED_ID).
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)?")


def owner_of(name: str) -> str | None:
    """What to do instead of setting ``name``; None = it is the user's to set."""
    lowered = name.lower()
    if lowered in OWNED:
        return OWNED[lowered]
    return next((reason for prefix, reason in OWNED_PREFIXES.items() if lowered.startswith(prefix)), None)


def _setting_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("is not the name of a PostgreSQL setting")
    reason = owner_of(name)
    if reason is not None:
        raise ValueError(f"is set by bibd: {reason}")
    return name


def _setting_value(value: object) -> object:
    if not isinstance(value, bool | int | float | str):
        raise ValueError("must be text, a number, true or false")  # noqa: TRY004 pydantic wants ValueError
    if isinstance(value, str) and not value.isprintable():
        raise ValueError("must not hold control characters or line breaks")
    return value


def _distinct(settings: dict[str, bool | int | float | str]) -> dict[str, bool | int | float | str]:
    lowered = [name.lower() for name in settings]
    twice = sorted({name for name in lowered if lowered.count(name) > 1})
    if twice:
        raise ValueError(f"gives {', '.join(twice)} more than once (upper and lower case are the same)")
    return settings


SettingName = Annotated[str, AfterValidator(_setting_name)]
SettingValue = Annotated[bool | int | float | str, BeforeValidator(_setting_value)]
ServerSettings = Annotated[dict[SettingName, SettingValue], AfterValidator(_distinct)]
