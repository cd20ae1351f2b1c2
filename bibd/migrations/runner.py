"""Run the file of one migration: in one transaction, or statement by statement with a record of each."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from random import Random
from typing import Literal

from bibd.errors import BibdError
from bibd.migrations.backend import (
    Backend,
    Cancelled,
    Change,
    Delete,
    Insert,
    Progress,
    StatementError,
    StepProgress,
    Update,
)
from bibd.migrations.dirty import Recovery
from bibd.migrations.interrupt import InterruptGate
from bibd.migrations.plan import Applied, Direction
from bibd.migrations.script import Script, Statement
from bibd.migrations.source import Migration

_SHOWN = 80
_SECRET = re.compile(r"password|secret|token|connection\s+'", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Retry:
    """Of a statement or transaction that did not get a lock in time. Delays in seconds; they double."""

    attempts: int = 10
    first_delay: float = 0.25
    longest_delay: float = 10.0

    def delay(self, attempt: int, random: Random) -> float:
        """After failed ``attempt`` (from 1). Jittered: two that block each other must not meet again."""
        return min(self.longest_delay, self.first_delay * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Task:
    """A migration's file in one direction. ``before``: its row in the state table, None when it has none."""

    direction: Direction
    migration: Migration
    script: Script
    before: Applied | None

    def entry(self, done: int) -> Applied:
        """The row when ``done`` statements are finished."""
        total = len(self.script.statements)
        return Applied(
            version=self.migration.version,
            name=self.migration.name,
            checksum=self.migration.checksum,
            down_checksum=self.migration.down_checksum,
            applied=self.direction == "up" and done == total,
            done=done,
            statements=total,
            transactional=self.script.transactional,
            step_hashes=() if self.script.transactional else tuple(s.sha256 for s in self.script.statements),
            direction=self.direction,
        )


class Runner:
    """Runs tasks one after the other, under the migration lock. To be used as a context."""

    def __init__(
        self,
        backend: Backend,
        *,
        applied_by: str,
        lock_timeout: float,
        retry: Retry,
        random: Random,
        progress: Progress,
        cancel: threading.Event,
    ) -> None:
        self._backend = backend
        self._applied_by = applied_by
        self._lock_timeout = lock_timeout
        self._retry = retry
        self._random = random
        self._progress = progress
        self._cancel = cancel
        self._gate = InterruptGate(cancel, backend.interrupt)

    def __enter__(self) -> Runner:
        self._gate.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._gate.close()

    def run(self, task: Task, *, durable: bool) -> None:
        """Raises BibdError that says where it stopped and what became of what had run, and Cancelled."""
        if task.script.transactional:
            self._in_one_transaction(task, durable)
        else:
            started = task.entry(0)
            self._backend.begin_file(self._lock_timeout)
            self._backend.record([Insert(started, self._applied_by) if task.before is None else Update(started)])
            self._one_by_one(task, 0, cut_off=None, tolerant=False)

    def resume(self, task: Task, recovery: Recovery, *, cut_off: int | None, tolerant: bool) -> None:
        """Go on with a file that was started. ``cut_off``: the index of the statement that may have taken effect.

        ``tolerant``: when that one fails because its effect is there already, it counts as finished.
        """
        statements = task.script.statements
        self._backend.begin_file(self._lock_timeout)
        for index in recovery.repeat:
            self._try(task, statements[index], partial(self._backend.alone, statements[index]))
        if recovery.resume_at == len(statements):
            self._backend.record(self._finished(task, recovery.resume_at))
        self._one_by_one(task, recovery.resume_at, cut_off=cut_off, tolerant=tolerant)

    def _in_one_transaction(self, task: Task, durable: bool) -> None:
        statements = task.script.statements
        changes: Sequence[Change] = (
            [Insert(task.entry(len(statements)), self._applied_by)]
            if task.direction == "up"
            else [Delete(task.migration.version)]
        )

        def once() -> None:
            self._backend.transaction(
                statements,
                changes,
                lock_timeout=self._lock_timeout,
                durable=durable,
                running=lambda statement: self._running(task, statement),
            )

        try:
            self._try(task, None, once)
        except StatementError as error:
            raise _told(task, error, "the transaction was rolled back: nothing of this file remains") from error
        self._tell(task, statements[-1] if statements else None, "done")

    def _one_by_one(self, task: Task, first: int, *, cut_off: int | None, tolerant: bool) -> None:
        for statement in task.script.statements[first:]:
            in_doubt = statement.index == cut_off
            try:
                self._running(task, statement)
                self._one(task, statement, in_doubt=in_doubt, tolerant=in_doubt and tolerant)
            except Cancelled as error:
                # As little is known of a statement in doubt as before: its record stays as it is.
                raise Cancelled("" if in_doubt else self._keep(task, statement, error)) from error
            except StatementError as error:
                raise _told(task, error, self._keep(task, statement, error)) from error
            self._tell(task, statement, "done")

    def _one(self, task: Task, statement: Statement, *, in_doubt: bool, tolerant: bool) -> None:
        finished = self._finished(task, statement.index + 1)
        if statement.in_transaction:
            self._try(task, statement, lambda: self._backend.together(statement, finished))
            return

        def once() -> None:
            # Before every try: what an interrupted CREATE INDEX CONCURRENTLY has left would be in the way.
            if not (self._backend.found_done(statement) and in_doubt):
                self._backend.alone(statement)

        try:
            self._try(task, statement, once)
        except StatementError as error:
            if not (tolerant and error.failure.already):
                # Not left for later: an invalid index slows every write down.
                with suppress(StatementError, BibdError), self._gate.interruptible():
                    self._backend.found_done(statement)
                raise
        self._backend.record(finished)

    def _finished(self, task: Task, done: int) -> Sequence[Change]:
        if task.direction == "down" and done == len(task.script.statements):
            return [Delete(task.migration.version)]
        return [Update(task.entry(done))]

    def _keep(self, task: Task, statement: Statement, error: Exception) -> str:
        """Record how far a file got, when the session still lives; says what that means."""
        # The first statement failed, and a failed one of its kind leaves nothing that counts: as if never started.
        forget = statement.index == 0 and (statement.in_transaction or statement.restart == "safe")
        change: Change
        if not forget:
            # Without the hash of the one that failed: it may be corrected, and did not take effect.
            entry = task.entry(statement.index)
            change = Update(replace(entry, step_hashes=entry.step_hashes[: statement.index]), failure=str(error))
        elif task.direction == "up":
            change = Delete(task.migration.version)
        else:
            change = Update(task.before or replace(task.entry(0), applied=True, direction="up"))
        try:
            self._backend.record([change])
        except BibdError:  # the error at hand is the one that matters, and the row says "started" already
            forget = False
        if forget:
            return "nothing of this file remains"
        return (
            f"{statement.index} of its {len(task.script.statements)} statements are finished and remain;"
            " see how to go on: bib admin migrate status"
        )

    def _try(self, task: Task, statement: Statement | None, once: Callable[[], None]) -> None:
        for attempt in count(1):
            try:
                with self._gate.interruptible():
                    once()
            except StatementError as error:
                if self._cancel.is_set():
                    raise Cancelled("the transaction was rolled back: nothing of this file remains") from error
                if not error.failure.retry or attempt >= self._retry.attempts:
                    raise
                delay = self._retry.delay(attempt, self._random)
                self._tell(
                    task,
                    error.statement or statement,
                    "retrying",
                    f"{error.failure.message}; try {attempt + 1} of {self._retry.attempts} in {delay:.1f} s",
                )
                if self._cancel.wait(delay):
                    raise Cancelled("nothing of this file remains") from error
            else:
                return

    def _running(self, task: Task, statement: Statement) -> None:
        if self._cancel.is_set():
            raise Cancelled("nothing of this file remains")
        self._tell(task, statement, "running")

    def _tell(
        self,
        task: Task,
        statement: Statement | None,
        state: Literal["running", "done", "retrying"],
        detail: str = "",
    ) -> None:
        self._progress(
            StepProgress(
                direction=task.direction,
                version=task.migration.version,
                name=task.migration.name,
                statement=statement.index + 1 if statement else 0,
                statements=len(task.script.statements),
                text=shown(statement) if statement else "",
                state=state,
                detail=detail,
            )
        )


def shown(statement: Statement) -> str:
    """A statement's first characters on one line, unless it may hold a secret."""
    if _SECRET.search(statement.text):
        return f"{statement.kind} …"
    line = " ".join(statement.text[: 4 * _SHOWN].split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"


def _told(task: Task, error: StatementError, kept: str) -> BibdError:
    failure, statement = error.failure, error.statement
    if statement is None:
        where = f"{task.script.path}: the commit failed"
    elif failure.position is None:
        where = f"{task.script.path}:{statement.line}"
    else:
        line, column = statement.locate(failure.position)
        where = f"{task.script.path}:{line}:{column}"
    return BibdError(
        f"migration {task.migration.title} ({task.direction}) failed: {where}: {failure.message}",
        f"{failure.hint}; {kept}" if failure.hint else kept,
    )
