"""One YAML document as text, checked for what must not reach anything behind it.

Only what a configuration needs is read: no tags, no anchors that are used (an alias can make a small file huge), no
deep nesting. Numbers are decimal: YAML 1.1 would read ``010`` as 8 and ``1:30`` as 90; here those stay text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from bibd.config.problems import Problem
from bibd.config.redaction import looks_secret, quoted

# The deepest key of the model lies 4 deep.
MAX_DEPTH = 16

_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9_]{0,30})")
_FLOAT = re.compile(r"[-+]?[0-9][0-9_]*\.[0-9]*([eE][-+]?[0-9]+)?")
_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class NotReadableError(Exception):
    """The text is not one YAML document of the kind that a configuration is."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def line_of(item: yaml.Node | yaml.Event) -> int:
    """The line, from 1, on which ``item`` starts."""
    return 1 if item.start_mark is None else int(item.start_mark.line) + 1


def compose(text: str, source: str) -> yaml.Node | None:
    """The top node of the document; None when there is none. Raises NotReadableError."""
    try:
        refused = _refused(text)
        if refused is None:
            return yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as failure:
        raise NotReadableError(_syntax(text, source, failure)) from None
    except (yaml.YAMLError, UnicodeError):
        raise NotReadableError(
            Problem(source, "holds characters that YAML does not allow (control characters)")
        ) from None
    line, problem = refused
    raise NotReadableError(Problem(f"{source}:{line}", problem))


def _refused(text: str) -> tuple[int, str] | None:
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        line = line_of(event)
        if isinstance(event, yaml.AliasEvent):
            return line, "YAML aliases (*name) are not supported here: write the value out"
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            return line, f"is nested more than {MAX_DEPTH} levels deep"
    return None


def _syntax(text: str, source: str, failure: yaml.MarkedYAMLError) -> Problem:
    mark = failure.problem_mark or failure.context_mark
    if mark is None:
        return Problem(source, "is not valid YAML")
    lines = text.split("\n")
    line = lines[mark.line] if mark.line < len(lines) else ""
    # PyYAML quotes from the text in some of its messages.
    detail = "" if looks_secret(line) or not failure.problem else f" ({failure.problem})"
    hint = "indent with spaces, not with tabs" if "\t" in line else "put values with special characters in quotes"
    return Problem(f"{source}:{mark.line + 1}:{mark.column + 1}", f"is not valid YAML{detail}", hint)


def pairs(node: yaml.MappingNode, source: str, problems: list[Problem]) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
    """(key, its node, the value's node) of ``node``; keys that are no names or come twice become ``problems``."""
    seen: dict[str, int] = {}
    for key_node, value_node in node.value:
        where = f"{source}:{line_of(key_node)}"
        if not isinstance(key_node, yaml.ScalarNode):
            problems.append(Problem(where, "a key must be a name, not a list or a mapping"))
        elif str(key_node.value) in seen:
            first = seen[str(key_node.value)]
            problems.append(Problem(where, f"{quoted(str(key_node.value))} is given twice: first in line {first}"))
        else:
            seen[str(key_node.value)] = line_of(key_node)
            yield str(key_node.value), key_node, value_node


def plain(node: yaml.Node, source: str, problems: list[Problem]) -> object:
    """``node`` as text, numbers, truth values, None, tuples and dicts."""
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, source, problems)
    if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
        return tuple(plain(item, source, problems) for item in node.value)
    if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
        return {key: plain(item, source, problems) for key, _, item in pairs(node, source, problems)}
    problems.append(_tagged(node, source))
    return None


def _scalar(node: yaml.ScalarNode, source: str, problems: list[Problem]) -> object:
    text = str(node.value)
    match node.tag.removeprefix(_TAG):
        case "null":
            return None
        case "bool":
            return text.lower() in ("yes", "true", "on")
        case "int" if _INTEGER.fullmatch(text):
            return int(text.replace("_", ""))
        case "float" if _FLOAT.fullmatch(text):
            return float(text.replace("_", ""))
        case "str" | "int" | "float" | "timestamp" | "merge" | "value":
            return text
        case _:
            problems.append(_tagged(node, source))
            return None


def _tagged(node: yaml.Node, source: str) -> Problem:
    return Problem(f"{source}:{line_of(node)}", "YAML tags (!name) are not supported here")
