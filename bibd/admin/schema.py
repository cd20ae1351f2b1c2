"""The objects that the control plane answers with: the stable JSON of the socket, of HTTP and of ``-o json``.

Fields are added, never renamed or removed. Times are RFC 3339 strings in UTC, durations seconds, sizes bytes.
No field holds a secret, except ``UrlReport.url``, whose purpose it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


def timestamp(unix_seconds: float) -> str:
    """RFC 3339 in UTC with milliseconds: ``2026-01-31T23:59:59.123Z``."""
    moment = datetime.fromtimestamp(unix_seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class ChildStatus:
    """One child of the supervision tree; ``children`` are its own, when it is a supervisor."""

    id: str
    state: str
    generation: int
    restarts: int
    started_at: str | None
    ready_at: str | None
    last_error: str | None
    children: tuple[ChildStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """``url`` never holds the password; ``last_probe`` is the time of the last health probe."""

    state: str
    version: str | None
    url: str | None
    last_probe: str | None


@dataclass(frozen=True, slots=True)
class MigrationsStatus:
    """``action``: what a person has to do, where there is something."""

    state: str
    version: int | None
    pending: int
    action: str | None = None


@dataclass(frozen=True, slots=True)
class BackupsStatus:
    """Times of the last good backup and of the next one; ``score`` from 0 to 1."""

    last: str | None
    next: str | None
    score: float | None


@dataclass(frozen=True, slots=True)
class ChildStop:
    """``outcome``: stopped, or abandoned when it outlived its own timeout."""

    id: str
    outcome: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ShutdownReport:
    """How the last shutdown went, children in the order they stopped."""

    started_at: str
    seconds: float
    reason: str
    clean: bool
    children: tuple[ChildStop, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """The node at one glance; ``children`` in start order."""

    state: str
    node_id: str | None
    mode: str
    backend: str
    runtime: str | None
    pid: int
    started_at: str
    ready_at: str | None
    children: tuple[ChildStatus, ...]
    database: DatabaseStatus
    migrations: MigrationsStatus
    backups: BackupsStatus
    shutdown: ShutdownReport | None = None


@dataclass(frozen=True, slots=True)
class HealthCheck:
    name: str
    ok: bool
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True)
class HealthReport:
    healthy: bool
    state: str
    checks: tuple[HealthCheck, ...]


@dataclass(frozen=True, slots=True)
class PingReport:
    """One round trip to the database."""

    ok: bool
    seconds: float
    version: str


@dataclass(frozen=True, slots=True)
class UrlReport:
    """``url`` with its password; ``service`` is the section of ``service_file`` (libpq's pg_service.conf)."""

    url: str
    service: str
    service_file: str


@dataclass(frozen=True, slots=True)
class Operation:
    """Long work; ``progress`` from 0 to 1 where it is known."""

    id: str
    kind: str
    state: str
    started_at: str
    progress: float | None
    owner: str


@dataclass(frozen=True, slots=True)
class RecoveryKit:
    """The public half of one, known by its fingerprint."""

    fingerprint: str
    added_at: str


@dataclass(frozen=True, slots=True)
class RecoveryKitTest:
    """A random key ``wrapped`` for the kit alone (base64); who opens it finds its SHA-256 ``digest`` (hex)."""

    node_id: str
    wrapped: str
    digest: str


@dataclass(frozen=True, slots=True)
class MigrationRow:
    """``state``: applied, pending, dirty (begun, not finished), missing (applied, but its file is gone), or edited
    (applied, but its file has another checksum now). ``checksum`` is the SHA-256 of the up file, hexadecimal."""

    version: int
    name: str
    state: str
    applied_at: str | None
    applied_by: str | None
    checksum: str
    transactional: bool
    statements: int


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """``state``: clean, pending, dirty, or mismatch. ``table`` holds the rows, ``path`` the files (null = none set)."""

    state: str
    version: int | None
    pending: int
    table: str
    action: str | None
    path: str | None
    migrations: tuple[MigrationRow, ...]


@dataclass(frozen=True, slots=True)
class PlanStep:
    """``direction``: up or down. ``sql`` is the file's text; not ``transactional``: statement by statement."""

    direction: str
    version: int
    name: str
    transactional: bool
    statements: int
    why: str
    sql: str


@dataclass(frozen=True, slots=True)
class PlanReport:
    """Steps in order. Before each down a restore point is kept in ``restore_point_directory``. ``adopted``: titles of
    migrations that another tool has applied and that would be taken over, without running them."""

    steps: tuple[PlanStep, ...]
    restore_point_directory: str | None = None
    adopted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunReport:
    """``ran``: titles in order. ``restore_points``: paths of the files made before each down."""

    state: str
    version: int | None
    pending: int
    ran: tuple[str, ...]
    restore_points: tuple[str, ...]
    seconds: float
    operation: str
    adopted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ResetReport:
    """``explanation``: what was found and what a reset does, in sentences; it may be not ``possible``."""

    state: str
    explanation: str
    possible: bool


@dataclass(frozen=True, slots=True)
class ReloadReport:
    """Keys of the configuration: changed and in force, and changed but in force only after a restart."""

    changed: tuple[str, ...]
    restart_required: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShutdownAccepted:
    """The daemon has begun to stop; it is gone when process ``pid`` is."""

    pid: int
    force: bool
