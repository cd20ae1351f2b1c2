"""The control plane: serves the admin socket, answers what is known at once and the rest from jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, assert_never

from actors.admin.messages import Admin, AdminMessage, Answered, Failed, Incoming
from actors.config.messages import Config, Reload
from actors.migrator.messages import CancelOperation, Migrator, Operate
from bibd.admin import migrations
from bibd.admin.methods import MigrateParams, OperationParams, ShutdownParams
from bibd.admin.schema import (
    HealthCheck,
    HealthReport,
    Operation,
    PingReport,
    ReloadReport,
    ShutdownAccepted,
    Status,
    UrlReport,
)
from bibd.admin.server import AdminServer, Call, Responder
from bibd.errors import BibdError
from bibd.logs.setup import for_actor
from bibd.migrations.user import UserMigrations
from bibd.storage import Storage
from bibd.supervision import Actor, Answer, Context
from bibd.supervision.reasons import Reason

_RELOAD_TIMEOUT = 10.0
_HAND_OVER_TIMEOUT = 5.0

Serve = Callable[[Callable[[Call, Responder], None]], AdminServer]
Methods = Mapping[str, Callable[[Any], object]]
"""By name: from a method's parameters to its result. Quick ones, which raise BibdError for what they refuse."""


class AdminActor(Actor[AdminMessage]):
    """``serve`` makes the socket's server for a handler; ``status`` must be quick and callable from any thread.

    Slow methods are asked once at a time: who asks meanwhile gets the same answer, so that a flood costs one probe.
    ``methods`` run in this actor, one after the other.
    """

    def __init__(
        self,
        ctx: Context,
        serve: Serve,
        storage: Storage,
        status: Callable[[], Status],
        operations: Callable[[], tuple[Operation, ...]],
        probe_timeout: float,
        drain_timeout: Callable[[], float],
        shut_down: Callable[[bool], ShutdownAccepted],
        methods: Methods = MappingProxyType({}),
    ) -> None:
        self._ctx = ctx
        self._storage = storage
        self._status = status
        self._operations = operations
        self._probe_timeout = probe_timeout
        self._drain_timeout = drain_timeout
        self._shut_down = shut_down
        self._methods = methods
        self._me = ctx.me(Admin)
        self._config = ctx.ref("config", Config)
        self._migrator = ctx.ref("migrator", Migrator)
        self._waiting: dict[str, list[Responder]] = {}
        self._log = for_actor("admin")
        self._deadline: float | None = None
        self._server = serve(self._handle)

    def on_start(self) -> None:
        self._server.start()

    def on_stop_requested(self, deadline: float | None) -> bool:
        self._deadline = deadline
        return True

    def on_stop(self, reason: Reason) -> None:
        del reason
        drain = self._drain_timeout()
        if self._deadline is not None:
            # Who reads too slowly must not make us late: a child that overruns its deadline fails the whole stop.
            drain = min(drain, max(0.0, (self._deadline - self._ctx.clock.monotonic()) * 0.8))
        self._server.close(drain)

    def receive(self, msg: AdminMessage) -> Answer:
        match msg:
            case Incoming(call=call, responder=responder) if call.method in self._methods:
                try:
                    responder.result(self._methods[call.method](call.params))
                except BibdError as error:
                    responder.error(error)
            case Incoming(call=call, responder=responder):
                self._dispatch(call, responder)
            case Answered(method=method, value=value):
                for responder in self._waiting.pop(method, ()):
                    responder.result(value)
            case Failed(method=method, error=error):
                for responder in self._waiting.pop(method, ()):
                    responder.error(error)
            case _:
                assert_never(msg)
        return None

    def _handle(self, call: Call, responder: Responder) -> None:
        """On the server's thread: what is only read is answered right there, without a change of threads."""
        if call.method == "status":
            responder.result(self._status())
        else:
            self._me.tell(Incoming(call, responder))

    def _dispatch(self, call: Call, responder: Responder) -> None:
        match call.method:
            case "ops.list":
                responder.result(self._operations())
            case "shutdown":
                force = isinstance(call.params, ShutdownParams) and call.params.force
                self._log.info("shutdown requested by uid {} pid {}", call.peer.uid, call.peer.pid)
                responder.result(self._shut_down(force))
            case "db.url":
                self._once(call.method, responder, self._url)
            case "db.ping":
                self._once(call.method, responder, self._ping)
            case "health":
                self._once(call.method, responder, self._health)
            case "reload":
                self._once(call.method, responder, self._reload)
            case "migrate.status":
                self._migrations(call, responder, migrations.status)
            case "migrate.plan" if isinstance(call.params, MigrateParams):
                params = call.params
                self._migrations(call, responder, lambda user: migrations.plan(user, params))
            case "migrate.explain_reset":
                self._migrations(call, responder, migrations.reset)
            case "migrate.run" | "migrate.reset" | "migrate.force":
                self._ctx.pipe(lambda _cancel: self._operate(call, responder), lambda _none: Answered("", None))
            case "ops.cancel" if isinstance(call.params, OperationParams):
                wanted = call.params.id
                self._once(f"{call.method} {wanted}", responder, lambda: self._cancel(wanted))
            case unknown:
                responder.error(BibdError(f"the daemon has no method {unknown}"))

    def _migrations(self, call: Call, responder: Responder, look: Callable[[UserMigrations], object]) -> None:
        def work() -> object:
            with self._storage.user_migrations() as user:
                return look(user)

        self._once(f"{call.method} {call.params}", responder, work)

    def _once(self, method: str, responder: Responder, work: Callable[[], Any]) -> None:
        waiting = self._waiting.setdefault(method, [])
        waiting.append(responder)
        if len(waiting) > 1:
            return

        def run(_cancel: threading.Event) -> Any:
            return work()

        def failed(error: Exception) -> Failed:
            if isinstance(error, BibdError):
                return Failed(method, error)
            self._log.opt(exception=error).error("{} failed", method)
            return Failed(method, BibdError(f"{method} failed: {type(error).__name__}", hint="see logs/bibd.log"))

        self._ctx.pipe(run, lambda value: Answered(method, value), failed)

    def _operate(self, call: Call, responder: Responder) -> None:
        """Hand it to the migrator, which answers when it is done; unless it refuses."""
        try:
            refusal = self._migrator.ask(Operate(call, responder), timeout=_HAND_OVER_TIMEOUT)
        except BibdError as error:
            refusal = error
        if refusal is not None:
            responder.error(refusal)

    def _cancel(self, wanted: str) -> Operation:
        answer = self._migrator.ask(CancelOperation(wanted), timeout=_HAND_OVER_TIMEOUT)
        if isinstance(answer, BibdError):
            raise answer
        return answer

    def _url(self) -> UrlReport:
        link = self._storage.link()
        return UrlReport(link.url, link.service, link.service_file)

    def _ping(self) -> PingReport:
        probed = self._storage.probe(self._probe_timeout)
        if not probed.ok:
            raise BibdError(f"the database does not answer: {probed.detail}", hint="see `bib admin health`")
        version = self._status().database.version or ""
        return PingReport(ok=True, seconds=probed.checks[-1].seconds, version=version)

    def _health(self) -> HealthReport:
        probed = self._storage.probe(self._probe_timeout)
        state = self._status().state
        checks = tuple(HealthCheck(c.name, c.ok, c.detail, c.seconds) for c in probed.checks)
        return HealthReport(healthy=probed.ok and state == "ready", state=state, checks=checks)

    def _reload(self) -> ReloadReport:
        answer = self._config.ask(Reload(), timeout=_RELOAD_TIMEOUT)
        if isinstance(answer, BibdError):
            raise answer
        return answer
