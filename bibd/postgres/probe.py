"""Is the database well? Four questions, in the order in which a no makes the rest pointless."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from bibd.postgres.database import Database
from bibd.postgres.roles import DATABASE
from bibd.storage import Check, Probed

# A server that says this accepts connections. Its messages are in English: bibd sets lc_messages.
_MISSING = f'database "{DATABASE}" does not exist'


def probe(
    database: Database,
    server_alive: Callable[[], bool],
    timeout: float,
    *,
    monotonic: Callable[[], float] = time.monotonic,
) -> Probed:
    """Ask a server how it is, in about ``timeout`` seconds. Raises nothing for a sick one."""
    began = monotonic()
    refusal = ""

    def accepts(left: float) -> str:
        nonlocal refusal
        refusal = database.login(left)
        return "" if _MISSING in refusal else refusal

    def answers(left: float) -> str:
        with database.connection(left) as session:
            row = session.execute("SELECT 1").fetchone()
        return "" if row == (1,) else f"SELECT 1 gave {row}"

    questions: list[tuple[str, Callable[[float], str]]] = [
        ("process", lambda _: "" if server_alive() else "the server process is not running"),
        ("connections", accepts),
        ("database", lambda _: refusal),
        ("query", answers),
    ]
    checks: list[Check] = []
    for name, question in questions:
        start = monotonic()
        try:
            detail = question(max(0.1, timeout - (start - began)))
        except Exception as error:
            detail = str(error).partition("\n")[0] or type(error).__name__
        checks.append(Check(name, not detail, detail, monotonic() - start))
        if detail:
            break
    return Probed(datetime.now(UTC), tuple(checks))
