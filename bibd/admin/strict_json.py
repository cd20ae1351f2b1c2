"""JSON as RFC 8259 has it: no NaN, no Infinity, no key twice; dataclasses go out as objects."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, NoReturn


class DuplicateKeyError(Exception):
    """Readers would disagree about which of the two counts."""


def loads(line: bytes) -> object:
    """Raises DuplicateKeyError, RecursionError, or ValueError (also for bad UTF-8, and integers of 4,300 digits)."""
    return _DECODER.decode(line.decode())


def dumps(value: object) -> bytes:
    """One line of ASCII. Raises TypeError, ValueError or RecursionError for what JSON cannot hold."""
    return _ENCODER.encode(value).encode("ascii")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(members := dict(pairs)) != len(pairs):
        raise DuplicateKeyError
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _plain(value: object) -> dict[str, object]:
    kind: Any = type(value)
    return {name: getattr(value, name) for name in _fields(kind)}


@cache
def _fields(kind: Any) -> tuple[str, ...]:
    if not is_dataclass(kind):
        raise TypeError(f"{kind.__name__} has no JSON form")
    return tuple(field.name for field in fields(kind))


# Built once: json.loads and json.dumps make new ones at every call with options.
# ASCII: a lone surrogate (of a file name that is not UTF-8) has no UTF-8 form but has a JSON escape.
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False, default=_plain)
_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
