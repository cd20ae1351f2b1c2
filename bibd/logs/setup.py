"""The daemon's log: stderr for whoever watches, ``bibd.log`` (JSON) for later.

The command line must not import this module: loguru costs 70 ms of its start.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TextIO

from loguru import logger

from bibd.errors import BibdError
from bibd.logs.lines import json_line, text_line
from bibd.logs.redaction import Redactor
from bibd.logs.sinks import Forgiving, LineFile
from bibd.logs.stdlib import Intercept

if TYPE_CHECKING:
    from loguru import Logger, Message, Record

Format = Literal["auto", "text", "json"]
LEVELS = ("trace", "debug", "info", "warning", "error", "critical")


def for_actor(name: str) -> Logger:
    """The logger of an actor: each line carries its name.

    Arguments make loguru read the message as a format, so foreign text goes in as an argument or through ``bind``:
    ``log.info("refused {}", text)``, never ``log.info(f"refused {text}", uid=0)``.
    """
    return logger.bind(actor=name)


@dataclass(slots=True)
class Logs:
    """What ``setup`` has set up."""

    redactor: Redactor
    _threshold: int
    _file: LineFile
    _undo: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])

    def set_level(self, level: str) -> None:
        """From now on show ``level`` and above. Raises BibdError for an unknown one."""
        self._threshold = _number(level)
        logging.getLogger().setLevel(self._threshold)  # the two libraries number their levels alike

    def shows(self, record: Record) -> bool:
        return record["level"].no >= self._threshold

    def close(self) -> None:
        """Detach from loguru and ``logging``, close the file."""
        while self._undo:
            self._undo.pop()()
        self._file.close()


def setup(
    *,
    level: str,
    fmt: Format,
    log_dir: Path,
    redact_fields: Iterable[str],
    node: str,
    stderr: TextIO,
    environ: Mapping[str, str],
) -> Logs:
    """Send every log line of the process to ``stderr`` and to ``log_dir/bibd.log``.

    ``fmt`` is for stderr: auto = text on a terminal, JSON elsewhere. Colour on a terminal without NO_COLOR
    (no-color.org). Raises BibdError when the file cannot be opened or the level is unknown; nothing has changed then.
    """
    threshold = _number(level)
    redactor = Redactor(redact_fields)
    file = LineFile(log_dir / "bibd.log")
    logs = Logs(redactor, threshold, file)
    terminal = stderr.isatty()
    colour = terminal and not environ.get("NO_COLOR")
    text = fmt == "text" or (fmt == "auto" and terminal)

    def write_stderr(line: bytes) -> None:
        stderr.write(line.decode("utf-8", "replace"))
        stderr.flush()

    def complain(line: str) -> None:
        # Below loguru: its handler holds a lock, and a log of a failing log would fail again.
        Forgiving("stderr", write_stderr, lambda _: None)(f"bibd: {line}\n".encode())

    to_file = Forgiving(str(file.path), file.write, complain)
    to_stderr = Forgiving("stderr", write_stderr, lambda _: None)

    def file_sink(message: Message) -> None:
        to_file(json_line(message.record, redactor, node))

    def stderr_sink(message: Message) -> None:
        if text:
            to_stderr(text_line(message.record, redactor, node, colour=colour).encode("utf-8", "backslashreplace"))
        else:
            to_stderr(json_line(message.record, redactor, node))

    logger.remove()
    for sink in (stderr_sink, file_sink):
        # The sinks make their lines themselves: loguru's format would be applied to foreign text. diagnose=True
        # would print the values of variables, secrets among them. The filter, not the handler's level, decides,
        # so that set_level loses no line.
        handler = logger.add(
            sink, level=0, format=_no_text, filter=logs.shows, colorize=False, backtrace=False, diagnose=False
        )
        logs._undo.append(_remover(handler))
    _take_over_stdlib(logs)
    logs.set_level(level)
    return logs


def _no_text(_record: Record) -> str:
    return ""


def _remover(handler: int) -> Callable[[], None]:
    return lambda: logger.remove(handler)


def _take_over_stdlib(logs: Logs) -> None:
    root = logging.getLogger()
    intercept, old_level = Intercept(), root.level
    root.addHandler(intercept)
    old_except, old_thread_except = sys.excepthook, threading.excepthook
    logging.captureWarnings(True)
    # The interpreter's own hooks would print the traceback as it is, with whatever secret an exception holds.
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread

    def undo() -> None:
        sys.excepthook, threading.excepthook = old_except, old_thread_except
        logging.captureWarnings(False)
        root.removeHandler(intercept)
        root.setLevel(old_level)

    logs._undo.append(undo)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        logger.opt(exception=(kind, error, trace)).critical("uncaught exception")


def _uncaught_in_thread(args: Any) -> None:
    name = args.thread.name if args.thread else "?"
    logger.opt(exception=(args.exc_type, args.exc_value, args.exc_traceback)).bind(thread=name).error(
        "uncaught exception in a thread"
    )


def _number(level: str) -> int:
    if level.lower() not in LEVELS:
        raise BibdError(f"unknown log level {level!r}", f"set log.level to one of {', '.join(LEVELS)}", exit_code=78)
    return logger.level(level.upper()).no
