"""What of a configuration may be shown."""

from __future__ import annotations

from typing import cast

from bibd.logs.redaction import MASK, Redactor

# Beside the words that are always secret. Files too (psk_file): some put the secret itself there.
_REDACTOR = Redactor(("key", "apikey", "psk", "dsn", "conninfo"))

_KINDS: dict[type, str] = {type(None): "empty", dict: "a mapping", list: "a list"}


def looks_secret(text: str) -> bool:
    """Whether a value called ``text``, or in a line like it, is better not shown."""
    return _REDACTOR.is_secret(text)


def redacted(key: str, value: object) -> object:
    """``value`` of the dotted ``key`` as it may be shown: secrets masked, tuples as lists."""
    if isinstance(value, dict):
        items = cast("dict[object, object]", value).items()
        return {str(name): redacted(f"{key}.{name}", item) for name, item in items}
    # That nothing is set is no secret.
    return value if value == "" else _REDACTOR.value(value, key)


def shown(key: str, value: object) -> str:
    """``value`` of the dotted ``key`` as a few words on one line, for an error message."""
    masked = redacted(key, value)
    if isinstance(masked, bool):
        return str(masked).lower()
    if isinstance(masked, str):
        return "this value (not shown)" if masked == MASK else quoted(masked)
    return _KINDS.get(type(masked)) or clipped(str(masked))


def quoted(text: str) -> str:
    """``text`` in quotes and on one line, whatever it holds."""
    return f'"{clipped(text)}"'


def clipped(text: str) -> str:
    """``text`` on one line, cut at 60 characters; control characters as escapes, so that no terminal obeys them."""
    short = text if len(text) <= 60 else text[:57] + "..."
    return short if short.isprintable() else short.encode("unicode_escape").decode("ascii")
