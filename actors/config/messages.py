"""What the configuration actor understands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from bibd.admin.schema import ReloadReport
from bibd.config.model import Settings
from bibd.errors import BibdError
from bibd.supervision import Request


class Config:
    """The configuration's protocol."""


@dataclass(frozen=True, slots=True)
class GetSettings(Request[Config, Settings]):
    """The settings in force."""


@dataclass(frozen=True, slots=True)
class Reload(Request[Config, ReloadReport | BibdError]):
    """Read the sources again; what can change live does. A bad file is an answer and changes nothing."""


ConfigMessage: TypeAlias = GetSettings | Reload
