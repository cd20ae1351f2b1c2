"""Is the database well? Four questions, in the order in which a no makes the rest pointless."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from bibd.postgres.database import Database


@dataclass(frozen=True, slots=True)
class Check:
    """``name``: process | connections | database | query. ``detail`` is "" for a check that went well."""

    name: str
    ok: bool
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The checks made; those after the first that failed were not."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    @property
    def detail(self) -> str:
        """What is wrong, "" when nothing."""
        return next((f"{check.name}: {check.detail}" for check in self.checks if not check.ok), "")

    @property
    def seconds(self) -> float:
        return sum(check.seconds for check in self.checks)


def probe(
    database: Database,
    server_alive: Callable[[], bool],
    timeout: float,
    *,
    monotonic: Callable[[], float] = time.monotonic,
) -> ProbeResult:
    """Ask a server how it is, in about ``timeout`` seconds. Raises nothing for a sick one."""
    began = monotonic()
    questions: list[tuple[str, Callable[[float], str]]] = [
        ("process", lambda _: "" if server_alive() else "the server process is not running"),
        ("connections", database.accepts),
        ("database", lambda left: _exists(database, left)),
        ("query", lambda left: _answers(database, left)),
    ]
    checks: list[Check] = []
    for name, question in questions:
        start = monotonic()
        try:
            detail = question(max(0.1, timeout - (start - began)))
        except Exception as error:  # noqa: BLE001 -- whatever a sick server does is an answer
            detail = str(error).partition("\n")[0] or type(error).__name__
        checks.append(Check(name, not detail, detail, monotonic() - start))
        if detail:
            break
    return ProbeResult(tuple(checks))


def _exists(database: Database, timeout: float) -> str:
    """By connecting to it; when that fails, the server's own words from a fresh attempt."""
    return database.reason_not_to_connect(timeout)


def _answers(database: Database, timeout: float) -> str:
    with database.connection(timeout) as session:
        row = session.execute("SELECT 1").fetchone()
    return "" if row == (1,) else f"SELECT 1 gave {row}"
