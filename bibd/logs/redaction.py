"""No secret in a log line: by the name of a field, by the look of a value, and by being a known secret."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import cast
from urllib.parse import quote

MASK = "***"

# Below this length a value occurs by chance, and masking it would garble every line.
_SHORTEST_SECRET = 4

# Always, whatever log.redact_fields says.
_BUILT_IN_NAMES = ("password", "passwd", "passphrase", "secret", "token")

_PATTERNS = (
    # scheme://user:PASSWORD@host: the URL that libpq, Redis, AMQP ... take
    (re.compile(r"(\b[a-z][a-z0-9+.-]{1,30}://[^\s:/?#@]{0,200}:)[^\s/?#]+@", re.I), rf"\1{MASK}@"),
    # a PEM private key, also one cut off, also with its line breaks escaped
    (re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\Z)", re.S),
     f"{MASK} PRIVATE KEY {MASK}"),
    (re.compile(r"\b(bearer\s+)[a-z0-9._~+/=-]{8,}", re.I), rf"\1{MASK}"),
    (re.compile(r"\b(authorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:basic|digest|bearer)\s+)[^\s\"',]+", re.I),
     rf"\1{MASK}"),
)  # fmt: skip

# 'it''s', "a \" b", or up to the next space or separator
_VALUE = r"""(?:'(?:[^'\\]|\\.|'')*'?|"(?:[^"\\]|\\.)*"?|\\"(?:[^"\\]|\\[^"])*(?:\\")?|[^\s,;&)}\]'"\\]+)"""


class Redactor:
    """Masks secrets. Safe to call from any thread; errs on the side of masking too much.

    ``fields`` are words (``log.redact_fields``). A field is secret when its name holds such a word; words below
    five letters ("key") must stand alone in it, as in ``api_key`` or ``apiKey``, not as in ``monkey``.
    """

    def __init__(self, fields: Iterable[str]) -> None:
        self._known: frozenset[str] = frozenset()
        self._known_pattern: re.Pattern[str] | None = None
        self.watch(fields)

    def watch(self, fields: Iterable[str]) -> None:
        """From now on these are the words (beside the built-in ones)."""
        words = {word.lower() for word in (*_BUILT_IN_NAMES, *fields) if word}
        self._long = tuple(sorted(word for word in words if len(word) >= 5))
        self._short = frozenset(word for word in words if len(word) < 5)
        self._assignment = _assignment(words)

    def add(self, value: str) -> None:
        """Mask ``value`` (at least 4 characters) from now on wherever it occurs, also percent-encoded or escaped."""
        if len(value) < _SHORTEST_SECRET:
            return
        escaped = value.encode("unicode_escape").decode("ascii")
        forms = {value, quote(value, safe=""), quote(value), escaped, escaped.replace('"', '\\"'), repr(value)[1:-1]}
        self._known = self._known | forms
        # The longest first: a secret may begin with another one.
        ordered = sorted(self._known, key=len, reverse=True)
        self._known_pattern = re.compile("|".join(re.escape(form) for form in ordered))

    def text(self, text: str) -> str:
        """``text`` without secrets."""
        if self._known_pattern is not None:
            text = self._known_pattern.sub(MASK, text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return self._assignment.sub(rf"\1{MASK}", text)

    def value(self, value: object, name: str = "", depth: int = 8) -> object:
        """``value`` of a field called ``name``, as something JSON can hold, without secrets.

        Below ``depth`` levels it is given as text.
        """
        if value is None or isinstance(value, bool):
            return value
        if name and self.is_secret(name):
            return MASK
        match value:
            case int() if abs(value) < 2**63:
                plain: object = value
            case float() if abs(value) < float("inf"):  # JSON has no NaN and no infinity (RFC 8259, section 6)
                plain = value
            case Mapping() if depth:
                items = cast("Mapping[object, object]", value).items()
                plain = {self.text(_string(key)): self.value(item, _string(key), depth - 1) for key, item in items}
            case list() | tuple() | set() | frozenset() if depth:
                plain = [self.value(item, depth=depth - 1) for item in cast("Iterable[object]", value)]
            case _:
                plain = self.text(_string(value))
        return plain

    def is_secret(self, name: str) -> bool:
        lower = name.lower()
        if any(word in lower for word in self._long):
            return True
        parts = re.split(r"[^a-z0-9]+", re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower())
        return any(part.removesuffix("s") in self._short or part in self._short for part in parts)


def _assignment(words: Iterable[str]) -> re.Pattern[str]:
    """``password=...``, ``"api_key": "..."``, ``PGPASSWORD=...``, SQL's ``PASSWORD '...'``."""
    long = "|".join(re.escape(word) for word in sorted(words) if len(word) >= 5)
    short = "|".join(rf"(?<=[_-]){re.escape(word)}" for word in sorted(words) if len(word) < 5)
    names = f"{long}|{short}" if short else long
    # Every repetition before the value is bounded, so that no text makes the search quadratic.
    sign = r"""(?:[\w-]{0,20}\\?["']?\s{0,3}[=:]\s{0,3}|\s{1,3}(?='))"""
    return re.compile(rf"((?:{names}){sign}){_VALUE}", re.I)


def _string(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    try:
        return str(value)
    except Exception as error:  # a broken __str__ must not cost the line
        return f"<{type(value).__name__}: {type(error).__name__} in str()>"
