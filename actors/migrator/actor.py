"""Brings the schema to the wanted version; then the storage is ready. Runs the user's migrations on command."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from actors.migrator.messages import (
    BuiltinDone,
    CancelOperation,
    MigratorMessage,
    Operate,
    UserDone,
    UserFailed,
)
from bibd.admin import migrations
from bibd.admin.call import Call, Responder
from bibd.admin.methods import ForceParams, MigrateParams
from bibd.admin.schema import Operation, timestamp
from bibd.errors import BibdError, RefusedError
from bibd.logs.setup import for_actor
from bibd.migrations.backend import StepProgress
from bibd.migrations.engine import Outcome
from bibd.migrations.plan import MigrationState, UpAll
from bibd.migrations.user import UserMigrations
from bibd.storage import Probed, Storage
from bibd.supervision import Actor, Answer, Context
from bibd.supervision.reasons import Reason

_BEGUN = StepProgress("up", 0, "", 0, 0, "", "running")

Work = Callable[[UserMigrations, Callable[[StepProgress], None], threading.Event], Outcome]


@dataclass(slots=True)
class Running:
    """The operation under way; ``responder`` is None for the one at the start."""

    operation: Operation
    responder: Responder | None
    cancel: threading.Event


class MigratorActor(Actor[MigratorMessage]):
    """``path`` is ``database.migrations.path``, "" for none; without ``auto`` they run on command only.

    The user's migrations never bring the node down: where they fail, it stays not ready and says what to do, so that
    `bib admin migrate` can. ``ping`` is the last look at the database before the node may call itself ready.
    """

    auto_ready = False

    def __init__(
        self,
        ctx: Context,
        storage: Storage,
        path: str,
        *,
        auto: bool,
        ping: Callable[[], Probed],
        publish: Callable[[MigrationState, BibdError | None], None],
        publish_operation: Callable[[Operation | None], None],
    ) -> None:
        self._ctx = ctx
        self._storage = storage
        self._path = path
        self._auto = auto
        self._ping = ping
        self._publish = publish
        self._publish_operation = publish_operation
        self._running: Running | None = None
        self._ready = False
        self._log = for_actor("migrator")

    def on_start(self) -> None:
        # No `failed`: without bibd's own schema there is no node.
        self._ctx.pipe(self._builtin, BuiltinDone)

    def on_stop_requested(self, deadline: float | None) -> bool:
        del deadline
        if self._running is not None:
            self._running.cancel.set()
        return True

    def on_stop(self, reason: Reason) -> None:
        # A fall of ours must leave neither a client that waits for its answer nor an operation that nobody runs.
        responder = self._over()
        if responder is not None:
            responder.error(
                BibdError(f"the migrations were interrupted: {reason}", "see logs/bibd.log, then try again")
            )

    def receive(self, msg: MigratorMessage) -> Answer:
        match msg:
            case BuiltinDone(state=state):
                self._builtin_done(state)
            case UserDone(state=state, report=report):
                responder = self._over()
                # Before the answer: whoever has it finds the new state in the status.
                self._settled(state)
                if responder is not None and report is not None:
                    responder.result(report)
            case UserFailed(error=error, state=state):
                responder = self._over()
                self._publish(state, error if state.state == "pending" else None)
                if responder is not None:
                    responder.error(error)
                else:
                    self._log.error("migrations failed: {}", error)
            case Operate(call=call, responder=responder):
                return msg.reply(self._operate(call, responder))
            case CancelOperation(id=wanted):
                return msg.reply(self._cancel(wanted))
            case _:
                assert_never(msg)
        return None

    def _builtin_done(self, state: MigrationState) -> None:
        if state.applied_now:
            self._log.info("bibd's own schema migrated to version {}", state.version)
        if not self._path:
            self._settled(state)
        elif self._auto:
            self._begin("migrate", "bibd", None, _start)
        else:
            self._begin("migrate.status", "bibd", None, _look)

    def _settled(self, state: MigrationState) -> None:
        self._publish(state, None)
        if state.applied_now and self._path:
            self._log.info("schema migrated to version {}", state.version)
        if state.state == "clean" or (state.state == "pending" and (self._ready or not self._auto)):
            self._ready = True
            self._ctx.ready()
        else:
            self._log.error("the schema is {} (version {}): {}", state.state, state.version, state.action)

    # ── operations ───────────────────────────────────────────────────────────────────────────────────────────

    def _operate(self, call: Call, responder: Responder) -> BibdError | None:
        if self._running is not None:
            found = self._running.operation
            return RefusedError(
                f"{found.kind} is running already (operation {found.id}, of {found.owner})",
                "wait for it, or end it: bib admin ops cancel " + found.id,
                exit_code=1,
            )
        self._begin(call.method, f"uid {call.peer.uid}", responder, _work(call))
        return None

    def _begin(self, kind: str, owner: str, responder: Responder | None, work: Work) -> None:
        now = self._ctx.clock.now().timestamp()
        operation = Operation(
            id=str(int(now * 1e9)), kind=kind, state="running", started_at=timestamp(now), progress=None, owner=owner
        )
        running = self._running = Running(operation, responder, threading.Event())
        self._publish_operation(operation)
        if responder is not None:
            # At once, so that the client can cancel it: while another node migrates, the first step may be far away.
            responder.progress(migrations.progress(_BEGUN, operation.id))
        self._ctx.pipe(lambda _cancel: self._run(running, work), _same)

    def _over(self) -> Responder | None:
        running, self._running = self._running, None
        self._publish_operation(None)
        return running.responder if running is not None else None

    def _cancel(self, wanted: str) -> Operation | BibdError:
        running = self._running
        if running is None or running.operation.id != wanted:
            return BibdError(f"no operation {wanted} is running", "see which are: bib admin ops list")
        running.cancel.set()
        return running.operation

    # ── on the job's thread ──────────────────────────────────────────────────────────────────────────────────

    def _builtin(self, cancel: threading.Event) -> MigrationState:
        state = self._storage.migrate(cancel)
        pinged = self._ping()
        if not pinged.ok and not cancel.is_set():
            raise BibdError(f"the database was lost right after its migrations: {pinged.detail}")
        return state

    def _run(self, running: Running, work: Work) -> UserDone | UserFailed:
        began = self._ctx.clock.monotonic()
        operation = running.operation.id

        def progress(step: StepProgress) -> None:
            self._publish_operation(migrations.advanced(running.operation, step))
            if running.responder is not None:
                running.responder.progress(migrations.progress(step, operation))

        state = MigrationState("pending", 0, 0)
        try:
            with self._storage.user_migrations() as user:
                try:
                    outcome = work(user, progress, running.cancel)
                except BibdError:
                    state = user.migrator.status()
                    raise
        except BibdError as error:
            return UserFailed(error, state)
        report = migrations.run_report(outcome, self._ctx.clock.monotonic() - began, operation)
        return UserDone(outcome, report if running.responder is not None else None)


def _same(message: UserDone | UserFailed) -> UserDone | UserFailed:
    return message


def _start(user: UserMigrations, progress: Callable[[StepProgress], None], cancel: threading.Event) -> Outcome:
    """What the node does by itself: finish what was cut off where that is safe, then everything that is pending."""
    recovered = user.migrator.recover(progress=progress, cancel=cancel)
    return recovered if recovered.state == "dirty" else user.migrator.run(UpAll(), progress=progress, cancel=cancel)


def _look(user: UserMigrations, progress: Callable[[StepProgress], None], cancel: threading.Event) -> Outcome:
    return user.migrator.recover(progress=progress, cancel=cancel)


def _work(call: Call) -> Work:
    match call.params:
        case MigrateParams() as params:
            return lambda user, progress, cancel: user.migrator.run(
                migrations.goal(params), progress=progress, cancel=cancel, adopt=params.adopt
            )
        case ForceParams(version=version):
            return lambda user, _progress, _cancel: user.migrator.force(version)
        case _:
            return lambda user, progress, cancel: user.migrator.reset(progress=progress, cancel=cancel)
