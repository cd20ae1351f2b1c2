"""The root's owner: the node's life, put together from what the tree and the actors report."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from bibd.admin import schema
from bibd.errors import BibdError
from bibd.logs.setup import for_actor
from bibd.migrations.plan import MigrationState
from bibd.node import (
    ChildBack,
    ChildLost,
    DrainRequested,
    Event,
    Failed,
    HealthLost,
    HealthRegained,
    NodeLife,
    NodeState,
    Stopped,
    TreeReady,
    advance,
    begin,
)
from bibd.process.notify import Notifier
from bibd.storage import Probed, Serving
from bibd.supervision import ActorSystem, ChildStatus, events
from bibd.supervision.reasons import Crashed


@dataclass(frozen=True, slots=True)
class Identity:
    """What does not change while the daemon runs."""

    node_id: str | None
    mode: str
    backend: str
    pid: int


class Root:
    """Thread-safe. ``wake`` rouses the main thread: readiness, the tree's end, or a wish to shut down."""

    def __init__(self, identity: Identity, now: Callable[[], datetime], notifier: Notifier, wake: Callable[[], None]):
        self._identity = identity
        self._now = now
        self._notifier = notifier
        self._wake = wake
        self._lock = threading.Lock()
        self._started_at = now()
        self._life: NodeLife = begin(self._started_at)
        self._serving: Serving | None = None
        self._probed: Probed | None = None
        self._migrations = schema.MigrationsStatus(state="unknown", version=None, pending=0)
        self._operation: schema.Operation | None = None
        self._system: ActorSystem | None = None
        self._required: frozenset[str] = frozenset()
        self._log = for_actor("root")
        self.shutdown_wish: str | None = None
        """Why somebody inside wants the node down."""
        self.force_wish = False
        self.failure: str | None = None
        """Why the node does not end well, when it was an actor that said so."""

    def watch(self, system: ActorSystem, required: frozenset[str]) -> None:
        """Follow ``system``; the node is as ready as its ``required`` children (paths)."""
        self._system = system
        self._required = required
        system.subscribe(self._on_event)

    @property
    def state(self) -> NodeState:
        return self._life.state

    # ── from the actors ──────────────────────────────────────────────────────────────────────────────────────

    def serving(self, serving: Serving) -> None:
        self._serving = serving
        how = "adopted" if serving.adopted else "started"
        self._log.info("{} {}: {}{}", serving.version, how, serving.url, f" ({serving.note})" if serving.note else "")

    def probed(self, probed: Probed, healthy: bool) -> None:
        self._probed = probed
        self.happened(HealthRegained() if healthy else HealthLost())

    def migrated(self, state: MigrationState, failure: BibdError | None) -> None:
        """Where the schema stands; ``failure``: why the last run of migrations did not end well."""
        self._migrations = schema.MigrationsStatus(
            state="failed" if failure is not None else state.state,
            version=state.version,
            pending=state.pending,
            action=" ".join(str(failure).split("\n")) if failure is not None else state.action or None,
        )

    def operation(self, operation: schema.Operation | None) -> None:
        """What runs just now, None for nothing."""
        self._operation = operation

    def operations(self) -> tuple[schema.Operation, ...]:
        running = self._operation
        return () if running is None else (running,)

    def give_up(self, reason: str) -> None:
        """The node must end, and that is a failure."""
        self.failure = reason
        self.wish_shutdown(reason)

    def wish_shutdown(self, reason: str, *, force: bool = False) -> schema.ShutdownAccepted:
        self.shutdown_wish = self.shutdown_wish or reason
        self.force_wish = self.force_wish or force
        self._wake()
        return schema.ShutdownAccepted(pid=self._identity.pid, force=force)

    # ── the node's life ──────────────────────────────────────────────────────────────────────────────────────

    def happened(self, event: Event) -> None:
        """Advance the life, and say so when the state has changed."""
        with self._lock:
            before = self._life
            self._life = advance(before, event, self._now())
            after = self._life
        if after.state is before.state:
            return
        log = self._log.warning if after.state in {NodeState.DEGRADED, NodeState.FAILED} else self._log.info
        log("node {} → {}", before.state.value, after.state.value)
        if after.state is NodeState.READY:
            if before.ready_at is None:
                self._log.info('use the database: psql "$(bib admin db url)"')
            self._notifier.ready("ready")
        elif after.state is not NodeState.DRAINING:
            self._notifier.status(after.state.value)
        self._wake()

    def drain(self) -> None:
        self._notifier.stopping()
        self.happened(DrainRequested())

    def ended(self, failure: str | None) -> None:
        self.happened(Stopped() if failure is None else Failed(failure))

    def _on_event(self, event: events.Event) -> None:
        name = event.path.rsplit("/", 1)[-1]
        log = self._log.bind(actor=name)
        match event:
            case events.ChildDown(reason=Crashed(error=error)) if not isinstance(error, BibdError):
                log.opt(exception=error).error("{}", event.text())
                self._lost(event.path, name, event)
            case events.ChildDown():
                log.info("{}", event.text())
                self._lost(event.path, name, event)
            case events.ChildAbandoned():
                log.error("{}", event.text())
            case events.RestartScheduled() | events.ChildGone():
                log.warning("{}", event.text())
            case events.Escalated():
                log.warning("{}", event.text())
                if event.path == "root":
                    # The tree stops by itself; the wish brings the deadline, else one that hangs is waited for.
                    self.wish_shutdown(event.text())
            case events.ChildUp():
                log.info("{}", event.text())
                self.happened(ChildBack(name))
            case events.TreeUp():
                self.happened(TreeReady())
            case events.TreeDown():
                self._wake()
            case _:
                log.debug("{}", event.text())

    def _lost(self, path: str, name: str, down: events.ChildDown) -> None:
        if isinstance(down.reason, Crashed) and self._life.state is NodeState.DRAINING:
            # It could not let go of what it holds, as a server that was to be stopped: that is no clean end.
            self.failure = self.failure or down.text()
        if path in self._required:
            self.happened(ChildLost(name))

    # ── the status object ────────────────────────────────────────────────────────────────────────────────────

    def status(self) -> schema.Status:
        """From any thread, without asking anybody, so that it answers while everything else hangs."""
        life, serving, probed = self._life, self._serving, self._probed
        tree = self._system.status() if self._system is not None else None
        identity = self._identity
        return schema.Status(
            state=life.state.value,
            node_id=identity.node_id,
            mode=identity.mode,
            backend=identity.backend,
            runtime=serving.runtime if serving is not None else None,
            pid=identity.pid,
            started_at=_timestamp(self._started_at),
            ready_at=_optional(life.ready_at),
            children=tuple(_child(child) for child in tree.children) if tree is not None else (),
            database=schema.DatabaseStatus(
                state=_database_state(serving, probed),
                version=serving.version if serving is not None else None,
                url=serving.url if serving is not None else None,
                last_probe=_optional(probed.at) if probed is not None else None,
            ),
            migrations=self._migrations,
            backups=schema.BackupsStatus(last=None, next=None, score=None),
        )


def _database_state(serving: Serving | None, probed: Probed | None) -> str:
    if serving is None:
        return "starting"
    if probed is None:
        return "unknown"
    return "up" if probed.ok else "down"


def _child(child: ChildStatus) -> schema.ChildStatus:
    return schema.ChildStatus(
        id=child.id,
        state=child.state.value,
        generation=child.generation,
        restarts=child.restarts,
        started_at=_optional(child.started_at),
        ready_at=_optional(child.ready_at),
        last_error=child.last_error,
        children=tuple(_child(below) for below in child.children),
    )


def _timestamp(moment: datetime) -> str:
    return schema.timestamp(moment.timestamp())


def _optional(moment: datetime | None) -> str | None:
    return None if moment is None else _timestamp(moment)
