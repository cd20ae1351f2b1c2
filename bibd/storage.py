"""The database that a node owns, whichever kind it is: what the actors need of it, and the facts they pass on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from bibd.migrations.plan import MigrationState

if TYPE_CHECKING:
    from bibd.migrations.user import UserMigrations


@dataclass(frozen=True, slots=True)
class Serving:
    """The database answers. ``version`` as it calls itself; ``url`` without a password; ``note``: what was found."""

    version: str
    url: str
    runtime: str
    pid: int | None = None
    adopted: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One step of a probe; ``seconds`` is how long it took."""

    name: str
    ok: bool
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Probed:
    """A probe's checks, in order; the first that fails ends it."""

    at: datetime
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    @property
    def detail(self) -> str:
        """What is wrong, or nothing."""
        return next((f"{check.name}: {check.detail}" for check in self.checks if not check.ok), "")


@dataclass(frozen=True, slots=True)
class Link:
    """How an application reaches the database. ``url`` holds the password; ``service`` names it in ``service_file``."""

    url: str
    service: str
    service_file: str


@dataclass(frozen=True, slots=True)
class Release:
    """How to let go: ``stop`` the server or leave it running, after a ``checkpoint``, in ``timeout`` seconds at most.

    ``immediate`` skips the checkpoint and does not wait for clients.
    """

    stop: bool
    checkpoint: bool
    immediate: bool
    timeout: float


class Storage(Protocol):
    """Every method may be called from any thread, blocks, and raises BibdError for what a person can mend."""

    def ensure(self, cancel: threading.Event, progress: Callable[[str], None]) -> Serving:
        """Make it serve: create, start or adopt, idempotently. Ends soon after ``cancel``, with nothing half-made."""
        ...

    def probe(self, timeout: float) -> Probed:
        """Look, within ``timeout`` seconds. A sick database is a result, not an error."""
        ...

    def migrate(self, cancel: threading.Event) -> MigrationState:
        """Bring the built-in schema to this version of bibd."""
        ...

    def user_migrations(self) -> AbstractContextManager[UserMigrations]:
        """The user's own migrations, on a session of their own. Raises ConfigError when none are configured."""
        ...

    def link(self) -> Link:
        """Raises BibdError while it does not serve yet."""
        ...

    def release(self, how: Release) -> str:
        """Close our connections, then stop or leave the server. Says what was done."""
        ...
