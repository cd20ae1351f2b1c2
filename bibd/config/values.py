"""The forms that values take in the configuration: durations, sizes, cron lines, paths, host names.

Text comes from files, the environment and flags, and is then strict: ``load`` validates with a ``Context``.
Python code that builds a model directly gives plain seconds and bytes, and absolute paths.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, cast

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

# Far above any use, and far below what time_t, select(2) and threading.TIMEOUT_MAX overflow at.
MAX_DURATION = 10 * 365 * 24 * 3600.0
MAX_SIZE = 2**63 - 1
# The schedule as shipped is known to be good: croniter costs 70 ms to import.
DEFAULT_SCHEDULE = "0 2 * * *"

_MILLISECONDS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_NUMBER = r"([0-9]{1,19}(?:\.[0-9]{1,9})?)"
_DURATION = re.compile("".join(f"(?:{_NUMBER}{unit})?" for unit in _MILLISECONDS))
_SIZE = re.compile(_NUMBER + "([A-Za-z]*)")
# PostgreSQL counts by 1024 too (documentation, "Setting Parameters: Parameter Names and Values").
_BYTES = {"B": 1, "kB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}
_UNITS = {"": 1, "KB": 2**10, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, **_BYTES}


@dataclass(frozen=True, slots=True)
class Context:
    """Given while text is validated. ``home`` is what ``~`` stands for ("" = unknown)."""

    home: str


@dataclass(frozen=True, slots=True)
class ReadBy:
    """Marks a type whose values are numbers with units in text."""

    function: Callable[[str], float]


def parse_duration(text: str) -> float:
    """Seconds in ``text``: ``30s``, ``1h30m``, ``500ms``, ``1.5h``, ``0``. Raises ValueError."""
    match = _DURATION.fullmatch(text)
    if text == "0":
        return 0.0
    if match is None or not text:
        unit = f"has no unit: write {text}s" if re.fullmatch(_NUMBER, text) else "is not a duration"
        raise ValueError(f"{unit} (numbers with the units d, h, m, s, ms, largest first, such as 30s or 1h30m)")
    parts = zip(match.groups(), _MILLISECONDS.values(), strict=True)
    seconds = float(sum(Decimal(number) * scale for number, scale in parts if number) / 1000)
    if seconds > MAX_DURATION:
        raise ValueError(f"is too long: at most {format_duration(MAX_DURATION)}")
    return seconds


def format_duration(seconds: float) -> str:
    """The shortest text that ``parse_duration`` reads as ``seconds`` (finite, not negative)."""
    rest = Decimal(repr(seconds)) * 1000
    if rest != int(rest):
        return f"{Decimal(repr(seconds)):f}s"
    parts: list[str] = []
    for unit in ("h", "m", "s", "ms"):
        count, rest = divmod(rest, _MILLISECONDS[unit])
        if count:
            parts.append(f"{count:.0f}{unit}")
    return "".join(parts) or "0s"


def parse_size(text: str) -> int:
    """Bytes in ``text``: ``512MB``, ``10GB``, ``1.5TB``, ``4096``; units count by 1024. Raises ValueError."""
    match = _SIZE.fullmatch(text)
    if match is None or match[2] not in _UNITS:
        raise ValueError("is not a size (a number and one of the units B, kB, MB, GB, TB, such as 512MB)")
    size = Decimal(match[1]) * _UNITS[match[2]]
    if size != int(size):
        raise ValueError("is not a whole number of bytes")
    if size > MAX_SIZE:
        raise ValueError("is too large: at most 8388607TB")
    return int(size)


def format_size(size: int) -> str:
    """The shortest text that ``parse_size`` reads as ``size`` bytes."""
    unit, scale = max(((u, s) for u, s in _BYTES.items() if size % s == 0), key=lambda item: item[1])
    return f"{size // scale}{unit}" if size else "0B"


def _duration(value: object, info: ValidationInfo) -> float:
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a duration such as 30s or 1h30m")  # noqa: TRY004 pydantic wants ValueError
    if info.context is not None:
        return parse_duration(repr(value))
    if not math.isfinite(value) or not 0 <= value <= MAX_DURATION:
        raise ValueError("must be from 0 to ten years, in seconds")
    return float(value)


def _size(value: object) -> int:
    if isinstance(value, str):
        return parse_size(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SIZE:
        raise ValueError("must be a size such as 512MB, or a number of bytes")
    return value


def _positive(value: float) -> float:
    if value <= 0:
        raise ValueError("must be more than 0")
    return value


def _text(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must not hold control characters or line breaks")
    return value


def _filled(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value


def _path(value: str, info: ValidationInfo) -> str:
    context = cast("Context | None", info.context)
    if value.startswith("~") and context is not None:
        if value != "~" and not value.startswith("~/"):
            raise ValueError("must be an absolute path: ~name is not expanded, only ~/")
        if not context.home.startswith("/"):
            raise ValueError("starts with ~, but the environment variable HOME is not set to an absolute path")
        value = context.home.rstrip("/") + value[1:]
    if value and not value.startswith("/"):
        # A daemon's working directory, and that of `bib`, are accidents.
        raise ValueError("must be an absolute path, or start with ~/")
    return value


def _host(value: str) -> str:
    if not re.fullmatch(r"\*|[A-Za-z0-9._:-]{1,253}", value):
        raise ValueError("must be one IP address or host name, or * for all")
    return value


def _identifier(value: str) -> str:
    # 63 bytes: NAMEDATALEN - 1, where PostgreSQL cuts names silently.
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,62}", value):
        raise ValueError("must be a plain SQL name: letters, digits and _, at most 63")
    return value


def _cron(value: str) -> str:
    if value in ("", DEFAULT_SCHEDULE):
        return value
    from croniter import CroniterError, croniter  # 70 ms

    # croniter also reads six and seven fields (seconds, years), which cron users would not expect.
    if not value.startswith("@") and len(value.split()) != 5:
        raise ValueError('must be a cron line of five fields, such as "0 2 * * *"')
    try:
        croniter(value, datetime(2024, 1, 1, tzinfo=UTC)).get_next(datetime)
    # OverflowError and friends: what croniter lets through on hostile numbers.
    except (CroniterError, ValueError, KeyError, IndexError, TypeError, ArithmeticError, AttributeError):
        raise ValueError('must be a cron line that comes true some day, such as "0 2 * * *"') from None
    return value


def _timezone(value: str) -> str:
    if not value:
        return value
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError; "Europe" is a directory
        raise ValueError("must be a time zone of the IANA database, such as Europe/Zurich") from None
    return value


Duration = Annotated[float, BeforeValidator(_duration), ReadBy(parse_duration)]
Timeout = Annotated[Duration, AfterValidator(_positive)]
Size = Annotated[int, BeforeValidator(_size), ReadBy(parse_size)]
Rate = Annotated[Size, AfterValidator(_positive)]
Port = Annotated[int, Field(ge=0, le=65535)]
Text = Annotated[str, AfterValidator(_text)]
Name = Annotated[str, AfterValidator(_text), AfterValidator(_filled)]
FilePath = Annotated[str, AfterValidator(_text), AfterValidator(_path)]
Host = Annotated[str, AfterValidator(_host)]
Identifier = Annotated[str, AfterValidator(_identifier)]
Cron = Annotated[str, AfterValidator(_text), AfterValidator(_cron)]
Timezone = Annotated[str, AfterValidator(_text), AfterValidator(_timezone)]
