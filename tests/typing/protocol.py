"""Two actors' messages, for the files beside this one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from bibd.supervision import Notice, Request


class Health:
    """The protocol of one actor."""


class Backup:
    """The protocol of another."""


@dataclass(frozen=True, slots=True)
class Verdict:
    healthy: bool


@dataclass(frozen=True, slots=True)
class GetVerdict(Request[Health, Verdict]):
    """Is it well?"""


@dataclass(frozen=True, slots=True)
class ProbeNow(Notice[Health]):
    """Look again."""


@dataclass(frozen=True, slots=True)
class GetNewest(Request[Backup, str]):
    """The newest backup's id."""


@dataclass(frozen=True, slots=True)
class BackupDue(Notice[Backup]):
    """It is time."""


HealthMessage: TypeAlias = GetVerdict | ProbeNow
