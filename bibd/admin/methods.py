"""The methods of the control plane: the one table that every transport is fed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import GenericAlias, MappingProxyType
from typing import ClassVar

from bibd.admin.schema import (
    HealthReport,
    Operation,
    PingReport,
    RecoveryKit,
    RecoveryKitTest,
    ReloadReport,
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
            Method("reload", NoParams, ReloadReport, "Read the configuration file again.", changes=True),
            Method("recovery_kit.add", AddRecoveryKitParams, RecoveryKit, "Let a kit open backups.", changes=True),
            Method("recovery_kit.list", NoParams, list[RecoveryKit], "The recovery kits, oldest first."),
            Method("recovery_kit.remove", RecoveryKitParams, RecoveryKit, "Stop using a kit.", changes=True),
            Method("recovery_kit.test", RecoveryKitParams, RecoveryKitTest, "Something that only this kit opens."),
            Method("shutdown", ShutdownParams, ShutdownAccepted, "Stop the daemon.", changes=True),
        )
    }
)
