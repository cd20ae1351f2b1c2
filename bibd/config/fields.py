"""The keys of the model by their dotted names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Literal, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bibd.config.model import Section, Settings
from bibd.config.values import ReadBy, parse_duration, parse_size


@cache
def sections() -> Mapping[str, type[Section]]:
    """Dotted name -> model of every section; ``""`` is the whole."""
    found: dict[str, type[Section]] = {"": Settings}
    pending = [("", Settings)]
    while pending:
        prefix, model = pending.pop()
        for name, field in model.model_fields.items():
            if _is_section(field):
                found[prefix + name] = cast("type[Section]", field.annotation)
                pending.append((f"{prefix}{name}.", cast("type[Settings]", field.annotation)))
    return MappingProxyType(found)


@cache
def fields() -> Mapping[str, FieldInfo]:
    """Dotted name -> field of every key that holds a value (sections are not among them), in the model's order."""
    return MappingProxyType(dict(_walk(Settings, "")))


def _walk(model: type[BaseModel], prefix: str) -> list[tuple[str, FieldInfo]]:
    found: list[tuple[str, FieldInfo]] = []
    for name, field in model.model_fields.items():
        if _is_section(field):
            found += _walk(cast("type[BaseModel]", field.annotation), f"{prefix}{name}.")
        else:
            found.append((prefix + name, field))
    return found


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, Section)


def is_text(field: FieldInfo) -> bool:
    """Whether every value of ``field`` is text as it stands (never a number, a truth value, a list)."""
    if get_origin(field.annotation) is Literal:
        return all(isinstance(choice, str) for choice in get_args(field.annotation))
    return field.annotation is str


def is_duration(key: str) -> bool:
    """Whether the values of ``key`` are seconds."""
    return parse_duration in _readers(fields()[key])


def is_size(key: str) -> bool:
    """Whether the values of ``key`` are bytes."""
    return parse_size in _readers(fields()[key])


def _readers(field: FieldInfo) -> list[object]:
    """The functions that ``field`` says its text is read by, also within ``X | None``."""
    inner = [mark for part in get_args(field.annotation) for mark in getattr(part, "__metadata__", ())]
    return [mark.function for mark in (*field.metadata, *inner) if isinstance(mark, ReadBy)]


def value(settings: Settings, key: str) -> object:
    """The value of the dotted ``key`` (of a value or a section). Raises AttributeError."""
    found: object = settings
    for name in key.split("."):
        found = getattr(found, name)
    return found
