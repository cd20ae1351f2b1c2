"""Migrations as the control plane shows them: from the engine's values to the stable objects, and back."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from bibd.admin import schema
from bibd.admin.methods import MigrateParams
from bibd.migrations.backend import Row, StepProgress
from bibd.migrations.engine import Outcome
from bibd.migrations.plan import Down, Goal, Goto, Step, Up, UpAll
from bibd.migrations.source import Migration
from bibd.migrations.user import UserMigrations


def goal(params: MigrateParams) -> Goal:
    match params:
        case MigrateParams(goal="down", count=int() as count):
            return Down(count)
        case MigrateParams(goal="goto", version=int() as version):
            return Goto(version)
        case MigrateParams(count=int() as count):
            return Up(count)
        case _:
            return UpAll()


def status(user: UserMigrations) -> schema.MigrationReport:
    """Every migration there is or was. Parses the pending ones; raises BibdError for those that cannot be read."""
    state = user.migrator.status()
    rows = {row.entry.version: row for row in user.migrator.rows()}
    files = {migration.version: migration for migration in user.migrations}
    return schema.MigrationReport(
        state=state.state,
        version=state.version,
        pending=state.pending,
        table=user.table,
        action=state.action or None,
        path=str(user.directory),
        migrations=tuple(
            _row(user, files.get(version), rows.get(version)) for version in sorted(files.keys() | rows.keys())
        ),
    )


def _row(user: UserMigrations, file: Migration | None, row: Row | None) -> schema.MigrationRow:
    if row is not None:
        entry = row.entry
        return schema.MigrationRow(
            version=entry.version,
            name=entry.name,
            state=_state(file, row),
            applied_at=_timestamp(row.applied_at),
            applied_by=row.applied_by,
            checksum=entry.checksum,
            transactional=entry.transactional,
            statements=entry.statements,
        )
    assert file is not None  # noqa: S101 - a version comes from one of the two
    script = user.parse(file.up, file.up_path)
    return schema.MigrationRow(
        version=file.version,
        name=file.name,
        state="pending",
        applied_at=None,
        applied_by=None,
        checksum=file.checksum,
        transactional=script.transactional,
        statements=len(script.statements),
    )


def _state(file: Migration | None, row: Row) -> str:
    if not row.entry.applied:
        return "dirty"
    if file is None:
        return "missing"
    return "applied" if file.checksum == row.entry.checksum else "edited"


def plan(user: UserMigrations, params: MigrateParams) -> schema.PlanReport:
    found = user.migrator.plan(goal(params), adopt=params.adopt)
    down = any(step.direction == "down" for step in found.steps)
    return schema.PlanReport(
        steps=tuple(_step(user, step) for step in found.steps),
        restore_point_directory=str(user.restore_points) if down else None,
        adopted=user.migrator.adoption() if params.adopt else (),
    )


def _step(user: UserMigrations, step: Step) -> schema.PlanStep:
    migration = step.migration
    up = step.direction == "up"
    sql, path = (migration.up, migration.up_path) if up else (migration.down or "", migration.down_path)
    assert path is not None  # noqa: S101 - the plan has refused it
    script = user.parse(sql, path)
    return schema.PlanStep(
        direction=step.direction,
        version=migration.version,
        name=migration.name,
        transactional=script.transactional,
        statements=len(script.statements),
        why=step.why,
        sql=sql,
    )


def reset(user: UserMigrations) -> schema.ResetReport:
    found = user.migrator.explain_reset()
    return schema.ResetReport(user.migrator.status().state, found.explanation, found.possible)


def run_report(outcome: Outcome, seconds: float, operation: str) -> schema.RunReport:
    return schema.RunReport(
        state=outcome.state,
        version=outcome.version,
        pending=outcome.pending,
        ran=outcome.ran,
        restore_points=tuple(str(path) for path in outcome.restore_points),
        seconds=seconds,
        operation=operation,
        adopted=outcome.adopted,
    )


def progress(step: StepProgress, operation: str) -> dict[str, object]:
    """What a client is told of each step."""
    return {
        "operation": operation,
        "direction": step.direction,
        "version": step.version,
        "name": step.name,
        "statement": step.statement,
        "statements": step.statements,
        "text": step.text,
        "state": step.state,
        "detail": step.detail,
    }


def advanced(operation: schema.Operation, step: StepProgress) -> schema.Operation:
    """``operation`` as far as ``step``; within a file, since nobody knows how long the others take."""
    done = step.statement if step.state == "done" else step.statement - 1
    share = max(0.0, done / step.statements) if step.statements else operation.progress
    return replace(operation, progress=share, state=step.state)


def _timestamp(moment: datetime | None) -> str | None:
    return None if moment is None else schema.timestamp(moment.timestamp())
