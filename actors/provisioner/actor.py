"""The database's life: brought up at start, brought back when health says so, let go at the end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import assert_never

from actors.health.messages import Health, Restored, RestoreFailed
from actors.provisioner.messages import Ensured, EnsureFailed, ProvisionerMessage, ReleaseChanged, Restore
from bibd.errors import BibdError
from bibd.logs.setup import for_actor
from bibd.storage import Release, Serving, Storage
from bibd.supervision import Actor, Answer, Context
from bibd.supervision.reasons import Reason, Shutdown

_RESERVE = 6.0
"""Seconds (but a third of what there is at most) kept back to end the server when it did not end politely: after
SIGQUIT the postmaster itself kills, after 5 s, children that do not listen (SIGKILL_CHILDREN_AFTER_SECS)."""

_NO_DEADLINE = 30.0
"""Seconds when nobody says until when: the default of server.shutdown_timeout."""


def release(msg: ReleaseChanged, *, forced: bool, seconds: float) -> Release:
    """How to let go of the database with ``seconds`` left."""
    return Release(
        stop=msg.stop_on_shutdown,
        checkpoint=msg.checkpoint_on_shutdown and not forced,
        immediate=forced,
        timeout=max(0.1, seconds - min(_RESERVE, seconds / 3)),
    )


class ProvisionerActor(Actor[ProvisionerMessage]):
    """``forced`` is set when the operator does not want to wait; ``publish`` tells the node what serves."""

    auto_ready = False

    def __init__(
        self,
        ctx: Context,
        storage: Storage,
        wish: ReleaseChanged,
        forced: threading.Event,
        publish: Callable[[Serving], None],
    ) -> None:
        self._ctx = ctx
        self._storage = storage
        self._wish = wish
        self._forced = forced
        self._publish = publish
        self._deadline: float | None = None
        self._busy = False
        self._first = True
        self._log = for_actor("provisioner")
        self._health = ctx.ref("health", Health)

    def on_start(self) -> None:
        self._busy = True
        # No `failed`: what goes wrong at the first start is the node's failure, with its own message.
        self._ctx.pipe(self._ensure, Ensured)

    def receive(self, msg: ProvisionerMessage) -> Answer:
        match msg:
            case Restore():
                if not self._busy:
                    self._busy = True
                    self._ctx.pipe(self._ensure, Ensured, _failed)
            case Ensured(serving=serving):
                self._busy = False
                self._publish(serving)
                first, self._first = self._first, False
                if first:
                    self._ctx.ready()
                if not first or self._ctx.generation > 1:
                    # Also when we fell over a Restore: the health checker still waits for its answer.
                    self._health.tell(Restored())
            case EnsureFailed(error=error):
                self._busy = False
                self._health.tell(RestoreFailed(error))
            case ReleaseChanged():
                self._wish = msg
            case _:
                assert_never(msg)
        return None

    def on_stop_requested(self, deadline: float | None) -> bool:
        self._deadline = deadline
        return True

    def on_stop(self, reason: Reason) -> None:
        if not isinstance(reason, Shutdown):
            # We fell, the database did not: the next generation adopts it.
            self._storage.release(Release(stop=False, checkpoint=False, immediate=True, timeout=1.0))
            return
        left = _NO_DEADLINE if self._deadline is None else self._deadline - self._ctx.clock.monotonic()
        self._log.info("{}", self._storage.release(release(self._wish, forced=self._forced.is_set(), seconds=left)))

    def _ensure(self, cancel: threading.Event) -> Serving:
        return self._storage.ensure(cancel, lambda text: self._log.info("{}", text))


def _failed(error: Exception) -> EnsureFailed:
    if isinstance(error, BibdError):
        return EnsureFailed(error)
    raise error
