"""Where values come from: a file, the environment, flags. Each becomes the same flat form, keyed by dotted names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import yaml

from bibd.config import document, fields
from bibd.config.problems import SHOWN, Problem, error
from bibd.config.redaction import clipped

PREFIX = "BIBD_"


@dataclass(slots=True)
class Layer:
    """What one source gives. ``where`` also knows the lines inside a value, as ``key.name`` and ``key.0``."""

    values: dict[str, object] = field(default_factory=dict[str, object])
    where: dict[str, str] = field(default_factory=dict[str, str])
    problems: list[Problem] = field(default_factory=list[Problem])


def merged(layers: Iterable[Layer]) -> Layer:
    """One layer of all; later ones win. A list or a mapping is replaced as a whole."""
    result = Layer()
    for layer in layers:
        for key in layer.values:
            hidden = [place for place in result.where if place.startswith(f"{key}.")]
            for place in hidden:
                del result.where[place]
        result.values |= layer.values
        result.where |= layer.where
        result.problems += layer.problems
    return result


def from_text(text: str, source: str) -> Layer:
    """The layer of the YAML document ``text``. Raises ConfigError when it is not one; the rest are its problems."""
    layer = Layer()
    try:
        node = document.compose(text, source)
    except document.NotReadableError as failure:
        raise error([failure.problem]) from None
    if node is not None:
        _section(layer, node, "", source, source)
    return layer


def _section(layer: Layer, node: yaml.Node, key: str, source: str, where: str) -> None:
    # A section whose every line is commented out is null.
    if isinstance(node, yaml.ScalarNode) and document.plain(node, source, []) is None:
        return
    if not isinstance(node, yaml.MappingNode):
        text = f"{key} is a section: write its keys below it" if key else "must be keys and values (mode: full)"
        layer.problems.append(Problem(where, text))
        return
    prefix = f"{key}." if key else ""
    for name, key_node, child in document.pairs(node, source, layer.problems):
        dotted = prefix + name
        place = f"{source}:{document.line_of(key_node)}"
        if "." not in name and dotted in fields.sections():
            _section(layer, child, dotted, source, place)
        elif "." not in name and dotted in fields.fields():
            before = len(layer.problems)
            value = document.plain(child, source, layer.problems)
            if len(layer.problems) == before:
                layer.values[dotted] = value
            layer.where[dotted] = place
            _lines(layer, child, dotted, source)
        else:
            layer.problems.append(_unknown_key(place, dotted, len(layer.problems)))


def _lines(layer: Layer, node: yaml.Node, key: str, source: str) -> None:
    if isinstance(node, yaml.MappingNode):
        for key_node, child in node.value:
            layer.where[f"{key}.{key_node.value}"] = f"{source}:{document.line_of(key_node)}"
            _lines(layer, child, f"{key}.{key_node.value}", source)
    elif isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            layer.where[f"{key}.{index}"] = f"{source}:{document.line_of(child)}"


def from_environment(env: Mapping[str, str]) -> Layer:
    """The layer of the variables ``BIBD_<SECTION>__<KEY>``."""
    layer = Layer()
    keys = {variable(key): key for key in fields.fields()}
    for name, text in sorted(env.items()):
        if not name.startswith(PREFIX) or name == "BIBD_CONFIG" or name.startswith("BIBD_TEST_"):
            continue
        where = f"environment {clipped(name)}"
        if name in keys:
            _assign(layer, keys[name], text, where)
        elif name in {variable(section) for section in fields.sections() if section}:
            layer.problems.append(Problem(where, f"is a section: set {name}__<KEY>"))
        else:
            guess = _nearest(name, [*keys, "BIBD_CONFIG"], len(layer.problems))
            layer.problems.append(Problem(where, f"unknown variable{guess}"))
    return layer


def variable(key: str) -> str:
    """The environment variable of the dotted ``key``."""
    return PREFIX + key.replace(".", "__").upper()


def from_flags(overrides: Mapping[str, object]) -> Layer:
    """The layer of ``overrides`` (dotted key -> value; text is read as in the environment; None = not given)."""
    layer = Layer()
    for key, value in overrides.items():
        if value is None:
            continue
        if key not in fields.fields():
            layer.problems.append(_unknown_key("flag", key, len(layer.problems)))
        elif isinstance(value, str | Path):
            _assign(layer, key, str(value), "flag")
        else:
            layer.values[key] = tuple(cast("list[object]", value)) if isinstance(value, list) else value
            layer.where[key] = "flag"
    return layer


def _assign(layer: Layer, key: str, text: str, where: str) -> None:
    layer.where[key] = where
    try:
        text.encode()
    except UnicodeEncodeError:  # surrogates stand for bytes that are not UTF-8
        layer.problems.append(Problem(where, "is not UTF-8 text"))
        return
    if fields.is_text(fields.fields()[key]):
        layer.values[key] = text
        return
    try:
        node = document.compose(text, where)
    except document.NotReadableError as failure:
        layer.problems.append(replace(failure.problem, where=where))
        return
    problems: list[Problem] = []
    value = None if node is None else document.plain(node, where, problems)
    layer.problems += [Problem(where, problem.text) for problem in problems]
    if not problems:
        layer.values[key] = value


def _unknown_key(where: str, key: str, already: int) -> Problem:
    guess = _nearest(key, [*fields.fields(), *(section for section in fields.sections() if section)], already)
    return Problem(where, f"{clipped(key)}: unknown key{guess}")


def _nearest(name: str, known: Iterable[str], already: int) -> str:
    # difflib costs a millisecond a name; what is not shown need not be guessed.
    if already >= SHOWN or len(name) > 200:
        return ""
    names = list(known)
    last = [candidate for candidate in names if candidate.rsplit(".", 1)[-1] == name.rsplit(".", 1)[-1]]
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.75) or (last if len(last) == 1 else [])
    return f"; did you mean {close[0]}?" if close else ""
