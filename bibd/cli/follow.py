"""A long call that a person watches: its progress, and Ctrl-C, which cancels the operation and then leaves.

The call waits in a thread of its own, so that a signal never comes between a byte of its answer and our buffer.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeAlias

from bibd.cli.__main__ import INTERRUPTED
from bibd.cli.output import error_text
from bibd.cli.progress import display
from bibd.cli.session import Session
from bibd.errors import BibdError

# Building an index takes hours. Below the 24.8 days that poll(2) can count in milliseconds.
WORK_SECONDS = 14 * 24 * 3600.0
CANCEL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Progress:
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Answer:
    value: Any


@dataclass(frozen=True, slots=True)
class _Failure:
    error: Exception


@dataclass(frozen=True, slots=True)
class _Interrupt:
    pass


_Event: TypeAlias = _Progress | _Answer | _Failure | _Interrupt


def follow(session: Session, method: str, params: Mapping[str, object]) -> Any:
    """The answer of ``method``, its progress on stderr meanwhile (nothing with ``-o json``).

    Raises the daemon's error, with exit code 130 when it follows a Ctrl-C; KeyboardInterrupt at the second one.
    """
    # SimpleQueue.put may be called from a signal handler: docs.python.org/3/library/queue.html
    events: SimpleQueue[_Event] = SimpleQueue()
    client = session.client()

    def call() -> None:
        try:
            with client:
                events.put(
                    _Answer(
                        client.call(
                            method,
                            params,
                            timeout=WORK_SECONDS,
                            on_progress=lambda fields: events.put(_Progress(fields)),
                        )
                    )
                )
        except Exception as error:
            events.put(_Failure(error))

    with _first_interrupt(lambda: events.put(_Interrupt())), display(quiet=session.as_json) as shown:
        # A daemon thread: leaving at once does not wait for it.
        threading.Thread(target=call, name=method, daemon=True).start()
        try:
            return _watch(session, events, shown.show, shown.say)
        except KeyboardInterrupt:
            shown.say("left; the daemon goes on with it. See: bib admin ops list")
            raise


def _watch(
    session: Session,
    events: SimpleQueue[_Event],
    show: Callable[[Mapping[str, Any]], None],
    say: Callable[[str], None],
) -> Any:
    operation, interrupted, cancelled = "", False, False
    while True:
        match events.get():
            case _Progress(fields):
                operation = str(fields.get("operation", ""))
                show(fields)
            case _Interrupt():
                interrupted = True
                say("Ctrl-C: cancelling; once more leaves at once")
            case _Answer(value):
                return value
            case _Failure(error):
                if interrupted and isinstance(error, BibdError) and error.exit_code == BibdError.exit_code:
                    raise BibdError(error.message, error.hint, INTERRUPTED)
                raise error
        # The first report names the operation: a Ctrl-C before it waits for it.
        if interrupted and operation and not cancelled:
            cancelled = True
            say(_cancel(session, operation))


def _cancel(session: Session, operation: str) -> str:
    try:
        with session.client() as client:
            client.call("ops.cancel", {"id": operation}, timeout=CANCEL_SECONDS)
    except BibdError as error:
        return error_text(error, as_json=False)
    return f"operation {operation} is being cancelled"


@contextmanager
def _first_interrupt(notify: Callable[[], None]) -> Generator[None]:
    """The first SIGINT calls ``notify``, every later one raises KeyboardInterrupt. Ignored, it stays ignored."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return

    def first(_signal: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        notify()

    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
