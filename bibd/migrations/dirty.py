"""A migration that was started and not finished: whether it can go on by itself, and where."""

from __future__ import annotations

from dataclasses import dataclass

from bibd.migrations.plan import Applied
from bibd.migrations.script import Script, Statement


@dataclass(frozen=True, slots=True)
class Recovery:
    safe: bool
    """It may go on without asking anybody."""
    resume_at: int
    """The index of the first statement to run; the number of statements when only the record is missing."""
    why: str
    """What was found and what will be done, in sentences for a person."""
    repeat: tuple[int, ...] = ()
    """Finished statements to run again first, because they only set up the session (SET, PRAGMA)."""


def assess(row: Applied, script: Script) -> Recovery:
    """``script`` is the file of ``row.direction`` as it is now.

    Safe when the finished statements are still those that ran, and the one that was under way either runs in one
    transaction with its record, so that it did not take effect, or may run twice. The file may be corrected after that
    one, and before it too as long as it is still there. Not recorded (``step_hashes`` has only the finished ones), it
    is the file's next one.
    """
    found = f"Migration {row.title} ({row.direction}) stopped: {row.done} of {row.statements} statements are finished. "
    rest = script.statements[row.done :]
    resume_at = min(row.done, len(script.statements))
    doubt = _doubt_about_finished(row, script)
    repeat = tuple(s.index for s in script.statements[:resume_at] if s.session)
    if doubt:
        return Recovery(False, resume_at, f"{found}{doubt} {_asked(rest)}", repeat)
    under_way = row.step_hashes[row.done] if len(row.step_hashes) > row.done else None
    if under_way is None:
        begun = rest[0] if rest else None
    else:
        begun = next((s for s in rest if s.sha256 == under_way), None)
        if begun is None:
            doubt = (
                "The statement that was under way is not in the file any more, which was changed since:"
                " what it did, or left half done, cannot be told."
            )
            return Recovery(False, resume_at, f"{found}{doubt} {_asked(rest)}", repeat)
    if begun is None:
        return Recovery(True, resume_at, f"{found}Only the record that it is complete is missing: it is written now.")
    certainty, reason = _certainty(begun)
    return Recovery(certainty, resume_at, f"{found}{reason} {_continues(rest) if certainty else _asked(rest)}", repeat)


def _doubt_about_finished(row: Applied, script: Script) -> str:
    """Why it is not known what the finished statements did; empty when it is."""
    hashes = row.step_hashes[: row.done]
    if len(hashes) < row.done:
        return "Which ones is not recorded."
    if len(script.statements) < row.done:
        return f"The file, which was changed since, has only {len(script.statements)}."
    for statement, finished in zip(script.statements, hashes, strict=False):
        if statement.sha256 != finished:
            return f"The file was changed since: {_named(statement)} is not the one that ran."
    for statement in script.statements[: row.done]:
        if statement.session and statement.restart == "unsafe":
            return f"{_named(statement)} made something that ended with its session and cannot be made again alone."
    return ""


def _certainty(begun: Statement) -> tuple[bool, str]:
    if begun.in_transaction:
        return True, f"{_named(begun)} did not take effect: it runs in one transaction with its record."
    if begun.restart == "unsafe":
        return False, f"{_named(begun)} may have taken effect or not, and is not made to run twice."
    left = f" An invalid index {begun.object} that it left is dropped first." if begun.object else ""
    return True, f"{_named(begun)} may have taken effect or not, and may run again.{left}"


def _continues(rest: tuple[Statement, ...]) -> str:
    return f"It goes on with {_named(rest[0], capital=False)}."


def _asked(rest: tuple[Statement, ...]) -> str:
    if not rest:
        return "With your consent it is recorded as complete; first make sure that it is."
    return (
        f"With your consent it goes on with {_named(rest[0], capital=False)}; first make sure that the database is as"
        " the file expects it there."
    )


def _named(statement: Statement, *, capital: bool = True) -> str:
    return f"{'S' if capital else 's'}tatement {statement.index + 1} ({statement.kind}, line {statement.line})"
