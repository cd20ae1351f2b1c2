"""Bring a database to a version: each migration exactly once, whoever else tries, however it is cut off."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from bibd.errors import BibdError, UsageError
from bibd.migrations.adopt import adopted_rows, refusal
from bibd.migrations.backend import Backend, Cancelled, Change, Delete, Insert, Progress, Row, StepProgress
from bibd.migrations.plan import Applied, Goal, MigrationState, Plan, Step, UpAll, plan, state
from bibd.migrations.reset import Parse, Reset, dirty_row, examine, explain
from bibd.migrations.restore_point import RestorePoint
from bibd.migrations.runner import Retry, Runner, Task
from bibd.migrations.script import Script
from bibd.migrations.source import Migration

__all__ = ["Cancelled", "Migrator", "Outcome", "Reset", "Retry", "StepProgress"]


@dataclass(frozen=True, slots=True)
class Outcome(MigrationState):
    """The state after a run, and what the run did."""

    ran: tuple[str, ...] = ()
    """Titles in order, undone ones too."""
    adopted: tuple[str, ...] = ()
    """Titles of what another tool had applied."""
    restore_points: tuple[Path, ...] = ()


class Migrator:
    """One set of migrations and its database. One thread at a time, but for ``cancel``.

    ``parse`` reads a file: ``postgres_script.parse``, ``sqlite_script.parse``, ``postgres.whole``. ``lock_timeout``:
    how many seconds a statement may wait for a lock, and so block everybody who comes after it. ``restore_point`` is
    asked before a migration is undone; None: none is kept.
    """

    def __init__(
        self,
        backend: Backend,
        migrations: Sequence[Migration],
        *,
        parse: Parse,
        applied_by: str,
        lock_timeout: float,
        restore_point: RestorePoint | None,
        random: Random,
        retry: Retry | None = None,
    ) -> None:
        self._backend = backend
        self._migrations = tuple(migrations)
        self._parse = parse
        self._applied_by = applied_by
        self._lock_timeout = lock_timeout
        self._restore_point = restore_point
        self._random = random
        self._retry = retry or Retry()

    def rows(self) -> tuple[Row, ...]:
        """The state table as it is."""
        return self._backend.rows()

    def status(self) -> MigrationState:
        """Look, change nothing. Two round trips where nothing is pending."""
        rows = self._backend.rows()
        found = state(_entries(rows), self._migrations)
        if found.state == "dirty":
            return self._explained(found, rows)
        if not rows and found.state == "pending" and (foreign := self._backend.foreign()):
            refused = refusal(foreign)
            return replace(found, action=f"{refused.message}; {refused.hint}")
        return found

    def plan(self, goal: Goal, *, adopt: bool = False) -> Plan:
        """What ``run`` would do now. Raises BibdError as it would, changes nothing."""
        rows = self._backend.rows()
        adopted = self._adoption(rows, wanted=adopt)
        found = plan((*_entries(rows), *(change.entry for change in adopted)), self._migrations, goal)
        self._scripts(found)
        return found

    def adoption(self) -> tuple[str, ...]:
        """The titles that ``adopt`` would record as applied; empty when there is nothing to take over."""
        rows = self._backend.rows()
        if rows or self._backend.foreign() is None:
            return ()
        return self._titles(self._adoption(rows, wanted=True))

    def run(self, goal: Goal, *, progress: Progress, cancel: threading.Event, adopt: bool = False) -> Outcome:
        """Go to ``goal``. All files are read and checked before the first one runs.

        With ``UpAll`` a migration that was cut off is finished first, where that is provably safe. ``adopt``: take
        over what golang-migrate has applied. While another one migrates it waits, until ``cancel``. Raises BibdError
        for what is wrong, and Cancelled; what ran before that stays.
        """
        if isinstance(goal, UpAll) and state(_entries(self._backend.rows()), self._migrations).state == "clean":
            return self._outcome()
        with self._backend.exclusive(cancel, _waiting(progress)), self._runner(progress, cancel) as runner:
            # Read now that nobody else can: another one may have done it all meanwhile.
            rows = self._backend.rows()
            finished = self._finish(runner, rows) if isinstance(goal, UpAll) else ()
            if finished:
                rows = self._backend.rows()
            adopted = self._adoption(rows, wanted=adopt)
            before = {entry.version: entry for entry in (*_entries(rows), *(change.entry for change in adopted))}
            steps = plan(tuple(before.values()), self._migrations, goal)
            scripts = self._scripts(steps)
            if adopted:
                self._backend.record(adopted)
            points: list[Path] = []
            for step, script in zip(steps.steps, scripts, strict=True):
                if step.direction == "down" and self._restore_point is not None:
                    progress(_restoring(step))
                    points.append(self._restore_point.take(step.migration, script, cancel))
                task = Task(step.direction, step.migration, script, before.get(step.migration.version))
                runner.run(task, durable=step is steps.steps[-1])
            return self._outcome((*finished, *steps.steps), self._titles(adopted), points)

    def recover(self, *, progress: Progress, cancel: threading.Event) -> Outcome:
        """Finish a migration that was cut off, where that is provably safe; else the state says "dirty" as before.

        Raises BibdError when going on fails, and Cancelled.
        """
        if dirty_row(self._backend.rows()) is None:
            return self._outcome()
        with self._backend.exclusive(cancel, _waiting(progress)), self._runner(progress, cancel) as runner:
            return self._outcome(self._finish(runner, self._backend.rows()))

    def explain_reset(self) -> Reset:
        """What was found, and what ``reset`` would do; changes nothing."""
        rows = self._backend.rows()
        row = dirty_row(rows)
        if row is not None and (holder := self._backend.holder()):
            return Reset(f"Migration {row.entry.title} is running just now: {holder}.", possible=False)
        try:
            return explain(examine(rows, self._migrations, self._parse))
        except BibdError as error:
            return Reset(f"{error.message} ({error.hint}).", possible=False)

    def reset(self, *, progress: Progress, cancel: threading.Event) -> Outcome:
        """Go on with the dirty migration as ``explain_reset`` says. Raises BibdError when that fails, and Cancelled."""
        with self._backend.exclusive(cancel, _waiting(progress)), self._runner(progress, cancel) as runner:
            dirty = examine(self._backend.rows(), self._migrations, self._parse)
            if dirty is None:
                return self._outcome()
            runner.resume(dirty.task, dirty.recovery, cut_off=dirty.cut_off, tolerant=True)
            return self._outcome([dirty.step])

    def force(self, version: int) -> Outcome:
        """Record ``version`` (0: none) as the newest applied one, with the files of today; run nothing.

        Raises UsageError for a version without a file, BibdError when another migration runs.
        """
        if version and all(migration.version != version for migration in self._migrations):
            raise UsageError(f"no migration has the version {version}", "see which: bib admin migrate status")
        with self._backend.exclusive(threading.Event(), lambda _: None, timeout=self._lock_timeout):
            self._backend.record(self._forced(version, _entries(self._backend.rows())))
        return self._outcome()

    def _finish(self, runner: Runner, rows: Sequence[Row]) -> tuple[Step, ...]:
        dirty = examine(rows, self._migrations, self._parse)
        if dirty is None or not dirty.recovery.safe:
            return ()
        runner.resume(dirty.task, dirty.recovery, cut_off=dirty.cut_off, tolerant=False)
        return (dirty.step,)

    def _adoption(self, rows: Sequence[Row], *, wanted: bool) -> tuple[Insert, ...]:
        """The rows to take over. Raises RefusedError when there are some that nobody wants."""
        if rows:
            return ()
        found = self._backend.foreign()
        if found is None:
            if wanted:
                raise UsageError("there is nothing to adopt: golang-migrate has no table here", "leave out --adopt")
            return ()
        if not wanted:
            raise refusal(found)
        return adopted_rows(found, self._migrations, self._applied_by)

    def _forced(self, version: int, entries: Sequence[Applied]) -> list[Change]:
        rows = {entry.version: entry for entry in entries}
        wanted = [migration for migration in self._migrations if migration.version <= version]
        right = {
            migration.version
            for migration in wanted
            if (row := rows.get(migration.version)) and row.applied and row.checksum == migration.checksum
        }
        return [
            *(Delete(number) for number in rows if number not in right),
            *(
                Insert(Applied(m.version, m.name, m.checksum, m.down_checksum), f"{self._applied_by}, forced")
                for m in wanted
                if m.version not in right
            ),
        ]

    def _explained(self, found: MigrationState, rows: Sequence[Row]) -> MigrationState:
        if holder := self._backend.holder():
            return replace(found, state="pending", action=f"wait: it is being migrated by {holder}")
        try:
            dirty = examine(rows, self._migrations, self._parse)
        except BibdError as error:
            return replace(found, action=f"{error.message}; {error.hint}")
        return replace(found, action=dirty.action) if dirty else found

    def _scripts(self, planned: Plan) -> list[Script]:
        return [_parsed(self._parse, step) for step in planned.steps]

    def _runner(self, progress: Progress, cancel: threading.Event) -> Runner:
        return Runner(
            self._backend,
            applied_by=self._applied_by,
            lock_timeout=self._lock_timeout,
            retry=self._retry,
            random=self._random,
            progress=progress,
            cancel=cancel,
        )

    def _titles(self, adopted: Iterable[Insert]) -> tuple[str, ...]:
        versions = {change.entry.version for change in adopted}
        return tuple(migration.title for migration in self._migrations if migration.version in versions)

    def _outcome(
        self, steps: Sequence[Step] = (), adopted: tuple[str, ...] = (), points: Sequence[Path] = ()
    ) -> Outcome:
        now = self.status()
        return Outcome(
            now.state,
            now.version,
            now.pending,
            tuple(step.migration.version for step in steps if step.direction == "up"),
            now.action,
            tuple(step.migration.title for step in steps),
            adopted,
            tuple(points),
        )


def _entries(rows: Sequence[Row]) -> tuple[Applied, ...]:
    return tuple(row.entry for row in rows)


def _parsed(parse: Parse, step: Step) -> Script:
    migration = step.migration
    if step.direction == "up":
        return parse(migration.up, migration.up_path)
    assert migration.down is not None  # noqa: S101 -- the plan has refused it
    assert migration.down_path is not None  # noqa: S101
    return parse(migration.down, migration.down_path)


def _waiting(progress: Progress) -> Callable[[str], None]:
    return lambda holder: progress(StepProgress("up", 0, "", 0, 0, "", "waiting for lock", f"held by {holder}"))


def _restoring(step: Step) -> StepProgress:
    return StepProgress("down", step.migration.version, step.migration.name, 0, 0, "", "restore point")
