"""From a loguru record to a line: JSON for machines, text for people."""

from __future__ import annotations

import json
import re
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bibd.logs.redaction import Redactor

if TYPE_CHECKING:
    from loguru import Record

# What a terminal or a reader of lines takes for a command or a line break: C0, DEL, C1, Unicode's line separators.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_COLOURS = {
    "TRACE": "2",
    "DEBUG": "2",
    "INFO": "32",
    "SUCCESS": "32",
    "WARNING": "33",
    "ERROR": "31",
    "CRITICAL": "31;1",
}
# Bound by whoever logs; the rest of "extra" is the line's own.
_CONTEXT = ("actor", "operation")


def timestamp(moment: datetime) -> str:
    """RFC 3339, UTC, milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def encode(content: dict[str, object]) -> bytes:
    """One line of JSON with its line break."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # A lone surrogate (an undecodable file name) becomes its JSON escape.
    return text.encode("utf-8", "backslashreplace") + b"\n"


def json_line(record: Record, redactor: Redactor, node: str) -> bytes:
    extra = record["extra"]
    content: dict[str, object] = {
        "time": timestamp(record["time"]),
        "level": record["level"].name.lower(),
        "message": redactor.text(record["message"]),
        "node": node,
        "actor": redactor.value(extra.get("actor")),
        "operation": redactor.value(extra.get("operation")),
        "source": f"{record['name']}:{record['line']}",
    }
    own = {name: value for name, value in extra.items() if name not in _CONTEXT}
    if own:
        content["extra"] = redactor.value(own)
    exception = exception_text(record)
    if exception:
        content["exception"] = redactor.text(exception)
    return encode(content)


def text_line(record: Record, redactor: Redactor, node: str, *, colour: bool) -> str:
    """``time LEVEL node actor operation message field=value``, a traceback indented below."""
    extra = record["extra"]
    level = record["level"].name
    shown = f"\x1b[{_COLOURS.get(level, '0')}m{level:<8}\x1b[0m" if colour else f"{level:<8}"
    context = " ".join(_plain(str(redactor.value(extra.get(name)) or "-")) for name in _CONTEXT)
    message = _plain(redactor.text(record["message"]))
    fields = "".join(
        f" {_plain(name)}={_plain(json.dumps(redactor.value(value, name), ensure_ascii=False))}"
        for name, value in extra.items()
        if name not in _CONTEXT
    )
    exception = _plain("\n" + redactor.text(exception_text(record).rstrip("\n"))) if record["exception"] else ""
    return f"{timestamp(record['time'])} {shown} {_plain(node)} {context} {message}{fields}{exception}\n"


def exception_text(record: Record) -> str:
    exception = record["exception"]
    if exception is None:
        return ""
    return "".join(traceback.format_exception(exception.type, exception.value, exception.traceback))


def _plain(text: str) -> str:
    """Further lines indented, so that none can pass for a log line; control characters shown, not obeyed."""
    shown = _CONTROL.sub(
        lambda found: f"\\x{ord(found[0]):02x}" if ord(found[0]) < 256 else f"\\u{ord(found[0]):04x}", text
    )
    return shown.replace("\n", "\n    ")
