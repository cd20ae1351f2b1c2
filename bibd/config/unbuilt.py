"""What the configuration can describe and bibd cannot do yet: the one table. A capability that lands deletes its row.

The rule: a **switch** is refused at load when it is set to anything but its off values. The **options** behind it may
hold any valid value, because nothing reads them while the switch is off; setting one to other than its default is
answered by a warning, so that nothing is ignored silently.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unbuilt:
    """``switch`` (dotted key) may only be one of ``off``; ``options`` are dotted keys, or sections of them."""

    switch: str
    off: tuple[object, ...]
    what: str
    options: tuple[str, ...] = ()


_POSTGRES = "database.postgres"
_BACKUP = "database.backup"

UNBUILT: tuple[Unbuilt, ...] = (
    Unbuilt("gateway.http.enabled", (False,), "the HTTP gateway", ("gateway.http",)),
    Unbuilt("gateway.http.tls", (False,), "TLS of the HTTP gateway"),
    Unbuilt("gateway.grpc.enabled", (False,), "the gRPC gateway", ("gateway.grpc",)),
    Unbuilt("gateway.grpc.tls", (False,), "TLS of the gRPC gateway"),
    Unbuilt(f"{_POSTGRES}.managed", (True,), "an external PostgreSQL server"),
    Unbuilt(f"{_POSTGRES}.dsn", ("",), "an external PostgreSQL server"),
    Unbuilt(
        f"{_POSTGRES}.container_runtime",
        ("", "embedded"),
        "PostgreSQL in a container",
        tuple(f"{_POSTGRES}.{name}" for name in ("socket_path", "image", "cpu_cores", "network", "kubernetes")),
    ),
    Unbuilt(
        f"{_POSTGRES}.credential_rotation_interval",
        (0.0,),
        "rotation of passwords",
        (f"{_POSTGRES}.rotation_grace_period",),
    ),
    Unbuilt(f"{_BACKUP}.enabled", (False,), "backup", (_BACKUP,)),
    Unbuilt(f"{_BACKUP}.wal_archiving", (False,), "WAL archiving"),
    Unbuilt(f"{_BACKUP}.replicas", ((),), "copies of backups in a second place"),
    Unbuilt(f"{_BACKUP}.restore_test.schedule", ("",), "restore tests"),
    Unbuilt("p2p.enabled", (False,), "peer-to-peer", ("p2p",)),
    Unbuilt("cluster.enabled", (False,), "the cluster", ("cluster",)),
    Unbuilt("cluster.replication.enabled", (False,), "replication"),
)

SWITCHES = frozenset(row.switch for row in UNBUILT)


def switch_of(key: str) -> Unbuilt | None:
    """The row whose switch makes the option ``key`` idle for now; None = ``key`` is in use, or itself a switch."""
    if key in SWITCHES:
        return None
    owners = (row for row in UNBUILT if any(key == option or key.startswith(f"{option}.") for option in row.options))
    return next(owners, None)
