"""From the sources to ``Settings``: defaults < file < environment < flags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bibd.config import fields, modes, sources, unbuilt
from bibd.config.file import find_file, read
from bibd.config.model import Settings
from bibd.config.problems import Problem, error
from bibd.config.redaction import clipped
from bibd.config.values import Context, format_duration
from bibd.config.wording import said, written

__all__ = ["Loaded", "find_file", "load"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid configuration.

    ``origin``: dotted key -> ``file config.yaml:12``, ``environment BIBD_...`` or ``flag``; absent = the default.
    ``warnings``: one line each, without secrets; whoever loads shows them.
    """

    settings: Settings
    path: Path | None
    origin: Mapping[str, str]
    warnings: tuple[str, ...]


def load(path: Path | None, env: Mapping[str, str], overrides: Mapping[str, object]) -> Loaded:
    """The configuration of the file ``path`` (None = none), the variables ``BIBD_...`` in ``env``, and ``overrides``
    (dotted key -> value, None = not given).

    Raises ConfigError, which names everything that is wrong, each with its file and line, variable or flag.
    """
    file = sources.from_text(read(path), str(path)) if path is not None else sources.Layer()
    layers = (file, sources.from_environment(env), sources.from_flags(overrides))
    merged = sources.merged(layers)
    settings, invalid = _validate(merged, Context(home=env.get("HOME", "")))
    problems = [*merged.problems, *invalid.values(), *_unavailable(settings, merged.where)]
    warnings = _idle(settings, merged.where)
    if not {"mode", "database.backend"} & invalid.keys():
        verdict = modes.verdict(settings.mode, settings.database.backend)
        place = merged.where.get("database.backend", merged.where.get("mode", "defaults"))
        text = f"mode {settings.mode} with database.backend {settings.database.backend}"
        if not verdict.allowed:
            problems.append(Problem(place, f"{text} cannot work: {verdict.note}", modes.MISMATCH_HINT))
        elif verdict.note:
            warnings.insert(0, f"{place}: {text} is {verdict.note}")
    if problems:
        raise error(problems)
    origin = {key: merged.where[key] for key in merged.values}
    origin |= {key: f"file {place}" for key, place in origin.items() if place == file.where.get(key)}
    return Loaded(settings=settings, path=path, origin=origin, warnings=tuple(warnings))


def _validate(given: sources.Layer, context: Context) -> tuple[Settings, dict[str, Problem]]:
    """Settings of the valid ones of the values, and a problem for each other key (dotted, or deeper)."""
    try:
        return Settings.model_validate(_nested(given.values), context=context), {}
    except ValidationError as failure:
        details = failure.errors(include_url=False)
    invalid: dict[str, Problem] = {}
    bad: set[str] = set()
    for detail in details:
        loc = [str(part) for part in detail["loc"] if part != "[key]"]
        key = next(key for end in range(len(loc), 0, -1) if (key := ".".join(loc[:end])) in fields.fields())
        dotted = ".".join(loc)
        bad.add(key)
        text = f"{clipped(dotted)}: {said(key, dotted, detail)}"
        invalid.setdefault(dotted, Problem(given.where.get(dotted, given.where[key]), text, _hint(key)))
    # The rest is still worth checking; no validator looks at two keys, so it holds without the bad ones.
    rest = {key: value for key, value in given.values.items() if key not in bad}
    return Settings.model_validate(_nested(rest), context=context), invalid


def _nested(values: Mapping[str, object]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *path, name = key.split(".")
        section = tree
        for part in path:
            section = section.setdefault(part, {})
        section[name] = value
    return tree


def _hint(key: str) -> str:
    if key == "database.backend":
        return "set database.backend to postgres, or, with mode selective or proxy, to sqlite"
    return ""


def _unavailable(settings: Settings, where: Mapping[str, str]) -> list[Problem]:
    problems: list[Problem] = []
    for row in unbuilt.UNBUILT:
        if fields.value(settings, row.switch) not in row.off:
            allowed = " or ".join(_off(row.switch, choice) for choice in row.off)
            text = f"{row.switch}: {row.what} is not available yet: it may only be {allowed} now"
            problems.append(Problem(where[row.switch], text, "leave the keys of what is not available yet out"))
    return problems


def _off(key: str, choice: object) -> str:
    return format_duration(choice) if isinstance(choice, float) and fields.is_duration(key) else written(choice)


def _idle(settings: Settings, where: Mapping[str, str]) -> list[str]:
    warnings: list[str] = []
    for key, given in where.items():
        row = unbuilt.switch_of(key) if key in fields.fields() else None
        if row is not None and fields.value(settings, key) != fields.fields()[key].default:
            warnings.append(f"{given}: {key} has no effect: {row.what} is not available yet")
    return warnings
