"""A daemon's admin socket without a daemon: the real server, answers of the real schema, a handler of our own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bibd.admin.methods import ShutdownParams
from bibd.admin.schema import (
    BackupsStatus,
    ChildStatus,
    DatabaseStatus,
    HealthCheck,
    HealthReport,
    MigrationReport,
    MigrationRow,
    MigrationsStatus,
    Operation,
    PingReport,
    PlanReport,
    PlanStep,
    RecoveryKit,
    RecoveryKitTest,
    ReloadReport,
    ResetReport,
    RunReport,
    ShutdownAccepted,
    Status,
    UrlReport,
)
from bibd.admin.server import AdminServer, AuditEntry, Call, Limits, Responder

START = "2026-01-31T12:00:00.000Z"
READY = "2026-01-31T12:00:01.250Z"
URL = "postgresql://bibd:s3cret@127.0.0.1:5432/bibd"
ACTION = "migration 000005_by_day (up) stopped after 1 of 3 statements; see how to go on: bib admin migrate --reset"
RESTORE_POINTS = "/var/lib/bibd/backups/restore-points"
RESTORE_POINT = f"{RESTORE_POINTS}/20260131T120000Z_5_by_day.dump"
Handle = Callable[[Call, Responder], None]


def node_status(state: str = "ready") -> Status:
    children = tuple(
        ChildStatus(name, "ready", 1, 0, START, READY, None)
        for name in ("config", "admin", "provisioner", "health", "migrator")
    )
    failing = replace(children[3], generation=3, restarts=2, ready_at=None, last_error="connection refused \x1b[31m")
    nested = replace(children[2], children=(ChildStatus("postgres", "ready", 1, 0, START, READY, None),))
    return Status(
        state=state,
        node_id="12D3KooWExample",
        mode="full",
        backend="postgres",
        runtime="embedded",
        pid=os.getpid(),
        started_at=START,
        ready_at=READY if state == "ready" else None,
        children=(*children[:2], nested, failing, children[4]),
        database=DatabaseStatus("ready", "18.6", "postgresql://bibd@127.0.0.1:5432/bibd", READY),
        migrations=MigrationsStatus("dirty", 5, 1, ACTION),
        backups=BackupsStatus(None, None, None),
    )


ANSWERS: dict[str, object] = {
    "status": node_status(),
    "health": HealthReport(True, "ready", (HealthCheck("query", True, "select 1", 0.002),)),
    "db.ping": PingReport(True, 0.0012, "18.6"),
    "db.url": UrlReport(URL, "bibd", "/data dir/pg_service.conf"),
    "ops.cancel": Operation("17", "migrate", "cancelling", START, None, "migrator"),
    "migrate.status": MigrationReport(
        state="dirty",
        version=5,
        pending=1,
        table="bibd.schema_migrations",
        action=ACTION,
        path="/srv/app/migrations",
        migrations=(
            MigrationRow(4, "add_orders", "applied", START, "bibd", "4" * 64, True, 2),
            MigrationRow(5, "by_day", "dirty", None, "bibd", "5" * 64, False, 3),
            MigrationRow(6, "totals", "pending", None, None, "6" * 64, True, 1),
        ),
    ),
    "migrate.plan": PlanReport(
        (
            PlanStep("down", 5, "by_day", False, 1, "among the newest 2 applied", "DROP INDEX CONCURRENTLY by_day;\n"),
            PlanStep("down", 4, "add_orders", True, 1, "among the newest 2 applied", "DROP TABLE orders;\n"),
        ),
        RESTORE_POINTS,
    ),
    "migrate.run": RunReport("pending", 3, 2, ("000005_by_day",), (RESTORE_POINT,), 0.25, "17"),
    "migrate.explain_reset": ResetReport("dirty", "The index by_day is INVALID.\nIt is dropped and built again.", True),
    "migrate.reset": RunReport("pending", 5, 1, ("000005_by_day",), (), 0.25, "17"),
    "migrate.force": RunReport("pending", 5, 1, (), (), 0.01, "17"),
    "ops.list": [Operation("17", "backup", "running", START, 0.25, "backup")],
    "recovery_kit.add": RecoveryKit("7keocn3z7ehx7gwh", START),
    "recovery_kit.list": [RecoveryKit("7keocn3z7ehx7gwh", START)],
    "recovery_kit.remove": RecoveryKit("7keocn3z7ehx7gwh", START),
    "recovery_kit.test": RecoveryKitTest("12D3KooWExample", "YmliVwE=", "00" * 32),
    "reload": ReloadReport(("log.level",), ("database.postgres.port",), ("p2p.mdns has no effect",)),
}


def answer(call: Call) -> object:
    if isinstance(call.params, ShutdownParams):
        return ShutdownAccepted(os.getpid(), call.params.force)
    return ANSWERS[call.method]


def answer_at_once(call: Call, responder: Responder) -> None:
    responder.result(answer(call))


def answer_from_a_thread(call: Call, responder: Responder) -> None:
    threading.Thread(target=lambda: responder.result(answer(call)), daemon=True).start()


@contextmanager
def serving(
    path: Path,
    handle: Handle = answer_at_once,
    *,
    limits: Limits | None = None,
    allowed_uids: frozenset[int] | None = None,
    audit: Callable[[AuditEntry], None] = lambda _: None,
) -> Generator[AdminServer]:
    """A started server, closed afterwards; its thread must have ended by then."""
    server = AdminServer(
        path,
        handle,
        allowed_uids=frozenset({os.geteuid()}) if allowed_uids is None else allowed_uids,
        limits=limits or Limits(),
        audit=audit,
    )
    server.start()
    try:
        yield server
    finally:
        server.close(timeout=2)
        assert not server.alive
