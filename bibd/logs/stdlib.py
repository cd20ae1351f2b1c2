"""What libraries say through ``logging`` and ``warnings`` goes the same way as our own lines."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from loguru import logger

if TYPE_CHECKING:
    from loguru import Record

# Libraries rate their lines for themselves. pykka tells every start of an actor at DEBUG; psycopg.pool warns of
# each failed attempt to reconnect, which the health actor reports once, as a change of state.
_ONE_LOWER = ("pykka", "psycopg")


class Intercept(logging.Handler):
    """Hands ``logging`` records to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception as error:  # wrong arguments in a library's log call
            message = f"{record.msg} {record.args!r} ({type(error).__name__} in formatting)"

        def place(found: Record) -> None:
            found["name"], found["line"], found["function"] = record.name, record.lineno, record.funcName or ""

        # No arguments: loguru then takes the message as it is, braces and all.
        logger.patch(place).opt(exception=record.exc_info).log(_level(record), message)


def _level(record: logging.LogRecord) -> str:
    number = record.levelno
    if record.name.split(".")[0] in _ONE_LOWER:
        number -= 10
    for threshold, name in ((50, "CRITICAL"), (40, "ERROR"), (30, "WARNING"), (20, "INFO"), (10, "DEBUG")):
        if number >= threshold:
            return name
    return "TRACE"
