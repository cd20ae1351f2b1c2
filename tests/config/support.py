"""What the tests of the configuration share."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from bibd.config.load import Loaded, load
from bibd.errors import ConfigError

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"


def load_text(directory: Path, text: str, *, env: dict[str, str] | None = None, **flags: object) -> Loaded:
    """``text`` as ``config.yaml`` in ``directory``, loaded; ``a__b=1`` is the flag ``a.b``."""
    path = directory / "config.yaml"
    path.write_text(text)
    return load(path, env or {}, {key.replace("__", "."): value for key, value in flags.items()})


def refusal(directory: Path, text: str, *, env: dict[str, str] | None = None, **flags: object) -> ConfigError:
    """The error of ``load_text``, with the directory left out of its message."""
    with pytest.raises(ConfigError) as caught:
        load_text(directory, text, env=env, **flags)
    error = caught.value
    assert error.exit_code == 78
    assert error.hint
    return ConfigError(error.message.replace(f"{directory}/", ""), error.hint)


def leaves(tree: object, keys: set[str], prefix: str = "") -> dict[str, object]:
    """Dotted name -> value of what lies in ``tree``, down to ``keys``."""
    name = prefix.removesuffix(".")
    if name in keys or not isinstance(tree, dict):
        return {name: tree}
    found: dict[str, object] = {}
    for part, item in cast("dict[str, object]", tree).items():
        found |= leaves(item, keys, f"{prefix}{part}.")
    return found
