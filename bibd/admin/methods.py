"""The methods of the control plane: the one table that every transport is fed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import GenericAlias, MappingProxyType
from typing import ClassVar, Literal

from bibd.admin.schema import (
    HealthReport,
    MigrationReport,
    Operation,
    PingReport,
    PlanReport,
    RecoveryKit,
    RecoveryKitTest,
    ReloadReport,
    ResetReport,
    RunReport,
    ShutdownAccepted,
    Status,
    UrlReport,
)


@dataclass(frozen=True, slots=True)
class NoParams:
    # Read by pydantic's TypeAdapter at the edge; stdlib dataclasses would ignore unknown keys there.
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}


@dataclass(frozen=True, slots=True)
class ShutdownParams:
    """``force`` skips the draining and stops at once."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    force: bool = False


@dataclass(frozen=True, slots=True)
class AddRecoveryKitParams:
    """``public``: the public half, base64."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    public: str


@dataclass(frozen=True, slots=True)
class RecoveryKitParams:
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    fingerprint: str


@dataclass(frozen=True, slots=True)
class OperationParams:
    """``id`` as ``ops.list`` has it."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    id: str


@dataclass(frozen=True, slots=True)
class MigrateParams:
    """Where to: ``up`` by ``count`` (null = all), ``down`` by ``count``, ``goto`` ``version`` (0 = before the first).

    ``adopt`` first takes over what another tool has applied.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    goal: Literal["up", "down", "goto"] = "up"
    count: int | None = None
    version: int | None = None
    adopt: bool = False

    def __post_init__(self) -> None:
        if self.goal == "down" and self.count is None:
            raise ValueError("down needs a count")
        if self.count is not None and (self.goal == "goto" or self.count < 1):
            raise ValueError("count is for up and down, and at least 1")
        if (self.goal == "goto") != (self.version is not None):
            raise ValueError("goto, and nothing else, needs a version")
        if self.version is not None:
            _check_version(self.version)
        if self.adopt and self.goal != "up":
            raise ValueError("adopt is for up")


@dataclass(frozen=True, slots=True)
class ForceParams:
    """Record ``version`` as the newest applied one, 0 as none, and run nothing."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    version: int

    def __post_init__(self) -> None:
        _check_version(self.version)


def _check_version(version: int) -> None:
    # bigint, as the version tables have it.
    if not 0 <= version < 2**63:
        raise ValueError("a version is a number from 0 to 9223372036854775807")


@dataclass(frozen=True, slots=True)
class Method:
    """``changes`` something, or ``reveals`` a secret: both go to the audit log."""

    name: str
    params: type
    result: type | GenericAlias
    help: str
    changes: bool = False
    reveals: bool = False

    @property
    def audited(self) -> bool:
        return self.changes or self.reveals


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        method.name: method
        for method in (
            Method("status", NoParams, Status, "The node, its children, its database."),
            Method("health", NoParams, HealthReport, "Run the health checks now."),
            Method("db.ping", NoParams, PingReport, "One round trip to the database."),
            Method("db.url", NoParams, UrlReport, "The database's URL, with the password.", reveals=True),
            Method("ops.list", NoParams, list[Operation], "Long operations, running and recent."),
            Method("ops.cancel", OperationParams, Operation, "End a long operation early.", changes=True),
            Method("migrate.status", NoParams, MigrationReport, "Your migrations, applied and pending."),
            Method("migrate.plan", MigrateParams, PlanReport, "What a run would do, with its SQL."),
            Method("migrate.run", MigrateParams, RunReport, "Run migrations; reports progress.", changes=True),
            Method("migrate.explain_reset", NoParams, ResetReport, "What is dirty, and what a reset does."),
            Method("migrate.reset", NoParams, RunReport, "Mend what is dirty; reports progress.", changes=True),
            Method("migrate.force", ForceParams, RunReport, "Record a version, run nothing.", changes=True),
            Method("reload", NoParams, ReloadReport, "Read the configuration file again.", changes=True),
            Method("recovery_kit.add", AddRecoveryKitParams, RecoveryKit, "Let a kit open backups.", changes=True),
            Method("recovery_kit.list", NoParams, list[RecoveryKit], "The recovery kits, oldest first."),
            Method("recovery_kit.remove", RecoveryKitParams, RecoveryKit, "Stop using a kit.", changes=True),
            Method("recovery_kit.test", RecoveryKitParams, RecoveryKitTest, "Something that only this kit opens."),
            Method("shutdown", ShutdownParams, ShutdownAccepted, "Stop the daemon.", changes=True),
        )
    }
)
