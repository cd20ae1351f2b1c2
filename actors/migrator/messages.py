"""What the migrator understands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from bibd.admin.call import Call, Responder
from bibd.admin.schema import Operation, RunReport
from bibd.errors import BibdError
from bibd.migrations.plan import MigrationState
from bibd.supervision import Notice, Request


class Migrator:
    """The migrator's protocol."""


@dataclass(frozen=True, slots=True)
class Operate(Request[Migrator, BibdError | None]):
    """Run, reset or force as ``call`` says. None: accepted, and the responder gets its answer when it is done."""

    call: Call
    responder: Responder


@dataclass(frozen=True, slots=True)
class CancelOperation(Request[Migrator, Operation | BibdError]):
    """End the operation that runs, when this is its id."""

    id: str


@dataclass(frozen=True, slots=True)
class BuiltinDone(Notice[Migrator]):
    """Its own job: bibd's schema is as it has to be."""

    state: MigrationState


@dataclass(frozen=True, slots=True)
class UserDone(Notice[Migrator]):
    """Its own job: the user's migrations have run. ``report`` is for whoever asked; None at the start."""

    state: MigrationState
    report: RunReport | None


@dataclass(frozen=True, slots=True)
class UserFailed(Notice[Migrator]):
    """Its own job: they did not, or not all of them."""

    error: BibdError
    state: MigrationState


MigratorMessage: TypeAlias = Operate | CancelOperation | BuiltinDone | UserDone | UserFailed
