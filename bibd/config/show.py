"""The effective configuration, for people (YAML that loads again) and for programs (JSON). Secrets are hidden."""

from __future__ import annotations

from typing import cast

import yaml

from bibd.config import fields
from bibd.config.load import Loaded
from bibd.config.redaction import redacted
from bibd.config.values import format_duration, format_size


def as_yaml(loaded: Loaded, *, origins: bool) -> str:
    """Every key with its value, in the order of the model; with ``origins`` a comment says where each comes from."""
    lines: list[str] = []
    opened: list[str] = []
    for key in fields.fields():
        *path, name = key.split(".")
        shared = 0
        while shared < min(len(path), len(opened)) and path[shared] == opened[shared]:
            shared += 1
        lines += [f"{'  ' * depth}{path[depth]}:" for depth in range(shared, len(path))]
        opened = path
        comment = f"  # {loaded.origin.get(key, 'default')}" if origins else ""
        lines.append(f"{'  ' * len(path)}{name}: {_flow(_readable(loaded, key))}{comment}")
    return "\n".join(lines) + "\n"


def as_json_dict(loaded: Loaded) -> dict[str, object]:
    """``{"path", "settings": {...nested...}, "origin": {dotted key: text}, "warnings": [...]}``; durations are
    seconds, sizes bytes."""
    tree: dict[str, object] = {}
    for key in fields.fields():
        *path, name = key.split(".")
        section = tree
        for part in path:
            section = cast("dict[str, object]", section.setdefault(part, {}))
        section[name] = redacted(key, fields.value(loaded.settings, key))
    return {
        "path": str(loaded.path) if loaded.path is not None else None,
        "settings": tree,
        "origin": dict(loaded.origin),
        "warnings": list(loaded.warnings),
    }


def _readable(loaded: Loaded, key: str) -> object:
    value = fields.value(loaded.settings, key)
    if isinstance(value, float) and fields.is_duration(key):
        return format_duration(value)
    if isinstance(value, int) and fields.is_size(key):
        return format_size(value)
    return redacted(key, value)


def _flow(value: object) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**9, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")
