"""What the provisioner understands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from bibd.errors import BibdError
from bibd.storage import Serving
from bibd.supervision import Notice


class Provisioner:
    """The provisioner's protocol."""


@dataclass(frozen=True, slots=True)
class Restore(Notice[Provisioner]):
    """Make the database serve again. Answered to the health checker: ``Restored`` or ``RestoreFailed``."""


@dataclass(frozen=True, slots=True)
class ReleaseChanged(Notice[Provisioner]):
    """What to do with the server when the node stops."""

    stop_on_shutdown: bool
    checkpoint_on_shutdown: bool


@dataclass(frozen=True, slots=True)
class Ensured(Notice[Provisioner]):
    """Its own job: the database serves."""

    serving: Serving


@dataclass(frozen=True, slots=True)
class EnsureFailed(Notice[Provisioner]):
    """Its own job: the database could not be brought back."""

    error: BibdError


ProvisionerMessage: TypeAlias = Restore | ReleaseChanged | Ensured | EnsureFailed
