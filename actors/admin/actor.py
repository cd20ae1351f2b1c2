"""The control plane: serves the admin socket, answers what is known at once and the rest from jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, assert_never

from actors.admin.messages import Admin, AdminMessage, Answered, Failed, Incoming
from actors.config.messages import Config, Reload
from bibd.admin.methods import ShutdownParams
from bibd.admin.schema import HealthCheck, HealthReport, PingReport, ReloadReport, ShutdownAccepted, Status, UrlReport
from bibd.admin.server import AdminServer, Call, Responder
from bibd.errors import BibdError
from bibd.logs.setup import for_actor
from bibd.storage import Storage
from bibd.supervision import Actor, Answer, Context
from bibd.supervision.reasons import Reason

_RELOAD_TIMEOUT = 10.0

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
        probe_timeout: float,
        drain_timeout: Callable[[], float],
        shut_down: Callable[[bool], ShutdownAccepted],
        methods: Methods = MappingProxyType({}),
    ) -> None:
        self._ctx = ctx
        self._storage = storage
        self._status = status
        self._probe_timeout = probe_timeout
        self._drain_timeout = drain_timeout
        self._shut_down = shut_down
        self._methods = methods
        self._me = ctx.me(Admin)
        self._config = ctx.ref("config", Config)
        self._waiting: dict[str, list[Responder]] = {}
        self._log = for_actor("admin")
        self._server = serve(self._handle)

    def on_start(self) -> None:
        self._server.start()

    def on_stop(self, reason: Reason) -> None:
        del reason
        self._server.close(self._drain_timeout())

    def receive(self, msg: AdminMessage) -> Answer:
        match msg:
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
                responder.result([])
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
            case name if name in self._methods:
                try:
                    responder.result(self._methods[name](call.params))
                except BibdError as error:
                    responder.error(error)
            case unknown:
                responder.error(BibdError(f"the daemon has no method {unknown}"))

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
