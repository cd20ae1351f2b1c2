"""What is wrong with a configuration, gathered, so that one run names everything."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from bibd.errors import ConfigError

# A file of garbage has thousands.
SHOWN = 50
_LINE = re.compile(r":([0-9]+)(?::[0-9]+)?$")
_HINT = "correct it and try `bib config check`; config.example.yaml describes every key"


@dataclass(frozen=True, slots=True)
class Problem:
    """``where`` is ``config.yaml:12``, an environment variable or a flag; ``text`` one line without secrets."""

    where: str
    text: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


def error(problems: Iterable[Problem]) -> ConfigError:
    """One error that says it all, a line for each problem."""
    found = sorted(dict.fromkeys(problems), key=_line)
    lines = [str(problem) for problem in found[:SHOWN]]
    if len(found) > SHOWN:
        lines.append(f"... and {len(found) - SHOWN} more")
    hint = "; ".join(dict.fromkeys(problem.hint or _HINT for problem in found[:SHOWN]))
    if len(found) == 1:
        return ConfigError(lines[0], hint)
    return ConfigError("\n".join([f"the configuration has {len(found)} problems:", *lines]), hint)


def _line(problem: Problem) -> int:
    """The line in the file; what is in no file comes after."""
    match = _LINE.search(problem.where)
    return int(match[1]) if match else sys.maxsize
