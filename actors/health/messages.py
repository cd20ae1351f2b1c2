"""What the health checker understands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from bibd.errors import BibdError
from bibd.health import Policy
from bibd.storage import Probed
from bibd.supervision import Notice


class Health:
    """The health checker's protocol."""


@dataclass(frozen=True, slots=True)
class PolicyChanged(Notice[Health]):
    policy: Policy


@dataclass(frozen=True, slots=True)
class Restored(Notice[Health]):
    """The provisioner says that the database serves."""


@dataclass(frozen=True, slots=True)
class RestoreFailed(Notice[Health]):
    """The provisioner could not bring the database back."""

    error: BibdError


@dataclass(frozen=True, slots=True)
class ProbeNow(Notice[Health]):
    """Its own timer."""

    turn: int


@dataclass(frozen=True, slots=True)
class RestoreNow(Notice[Health]):
    """Its own timer."""

    turn: int


@dataclass(frozen=True, slots=True)
class ProbeDone(Notice[Health]):
    """Its own job."""

    result: Probed


HealthMessage: TypeAlias = PolicyChanged | Restored | RestoreFailed | ProbeNow | RestoreNow | ProbeDone
