"""A server that says it is ready: log in, see that the role and the database are there, apply what changed."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bibd.errors import BibdError
from bibd.postgres import roles
from bibd.postgres.child import Cancelled
from bibd.postgres.endpoint import Endpoint

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import TupleRow

    Session = Connection[TupleRow]

# What a server says, or the kernel in its place, that will be able to answer in a moment.
_TRANSIENT = (
    "the database system is",
    "Connection refused",
    "No such file",
    "too many clients",
)


# A server checks this after the password (InitPostgres in postinit.c).
_RESERVED = "remaining connection slots are reserved"


class NoSlotError(BibdError):
    """All connections that this role may have are taken; its password was right."""


class PasswordRefusedError(Exception):
    """The server does not know this password: the vault and the data directory do not belong together."""


@dataclass(frozen=True, slots=True)
class Verified:
    version: str
    tls: bool
    notes: tuple[str, ...]


def preload() -> None:
    """Import psycopg on another thread, in the time that initdb and the server take anyway (0.1 s)."""

    def load() -> None:
        with suppress(ImportError):  # whoever needs it says so
            importlib.import_module("psycopg_pool")

    with suppress(RuntimeError):  # no thread to be had: then it is imported when it is needed
        threading.Thread(target=load, name="preload-psycopg", daemon=True).start()


def verify(
    admin: Endpoint,
    app: Endpoint,
    passwords: roles.Passwords,
    *,
    reload: bool,
    cancel: threading.Event,
    deadline: float,
    monotonic: Callable[[], float],
) -> Verified:
    """Log in as both roles; make what is missing. ``reload``: the configuration files have changed.

    Raises PasswordRefusedError for the superuser, BibdError, Cancelled.
    """
    notes: list[str] = []
    with connect(admin, cancel, deadline, monotonic) as session:
        if reload:
            notes += _reload(session, cancel, monotonic)
        version, tls, has_owner, has_database = _inspect(session)
        if not has_owner:
            session.execute(roles.create_owner(passwords).encode())
            notes.append(f"role {roles.OWNER} was missing and has been made")
        if not has_database:
            session.execute(roles.create_database().encode())
            notes.append(f"database {roles.DATABASE} was missing and has been made, empty")
        try:
            connect(app, cancel, deadline, monotonic).close()
        except PasswordRefusedError:
            session.execute(roles.alter_password(roles.OWNER, passwords.owner).encode())
            notes.append(f"the password of role {roles.OWNER} was another and has been set")
            connect(app, cancel, deadline, monotonic).close()
        except NoSlotError:
            # Busy, not sick: whoever waited for a free one here could not start beside an application that has all.
            notes.append("all connections are taken: raise database.postgres.max_connections")
    return Verified(version, tls, tuple(notes))


def connect(endpoint: Endpoint, cancel: threading.Event, deadline: float, monotonic: Callable[[], float]) -> Session:
    """A session, as soon as the server gives one. Raises PasswordRefusedError, NoSlotError, BibdError, Cancelled."""
    import psycopg

    while True:
        if cancel.is_set():
            raise Cancelled
        try:
            # 2 s is the least that libpq takes.
            return psycopg.connect(
                **endpoint.parameters(),  # type: ignore[arg-type]  # its parameters are of many types
                autocommit=True,
                application_name="bibd",
                connect_timeout=2,
            )
        except psycopg.OperationalError as error:
            reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
            if "password authentication failed" in str(error):
                raise PasswordRefusedError from None
            if _RESERVED in str(error):
                raise NoSlotError(
                    f"cannot log in to PostgreSQL as {endpoint.user}: {reason}",
                    "close connections, or raise database.postgres.max_connections",
                ) from None
            patient = isinstance(error, psycopg.errors.ConnectionTimeout) or any(w in str(error) for w in _TRANSIENT)
            if not patient or monotonic() > deadline:
                raise BibdError(
                    f"cannot log in to PostgreSQL as {endpoint.user}: {reason}", "look at the server's log"
                ) from None
        cancel.wait(0.01)


def _inspect(session: Session) -> tuple[str, bool, bool, bool]:
    row = session.execute(
        "SELECT split_part(current_setting('server_version'), ' ', 1), current_setting('ssl')::bool,"
        " EXISTS (SELECT FROM pg_roles WHERE rolname = %s), EXISTS (SELECT FROM pg_database WHERE datname = %s)",
        (roles.OWNER, roles.DATABASE),
    ).fetchone()
    assert row is not None  # noqa: S101 -- a SELECT without FROM has one row
    return str(row[0]), bool(row[1]), bool(row[2]), bool(row[3])


def _reload(session: Session, cancel: threading.Event, monotonic: Callable[[], float]) -> list[str]:
    """Have the configuration read again; what could not be applied without a restart, or at all."""
    before = session.execute("SELECT pg_conf_load_time(), pg_reload_conf()").fetchone()
    assert before is not None  # noqa: S101
    # The signal goes to the postmaster, from there to this session: a moment, or never when the file is wrong.
    deadline = monotonic() + 1.0
    while monotonic() < deadline:
        now = session.execute("SELECT pg_conf_load_time()").fetchone()
        if now is not None and now[0] != before[0]:
            break
        if cancel.wait(0.01):
            raise Cancelled
    waiting = session.execute("SELECT name FROM pg_settings WHERE pending_restart ORDER BY name").fetchall()
    # The view gives the same error to a wrong value and to one that waits for a restart.
    wrong = session.execute(
        "SELECT name, error FROM pg_file_settings WHERE error IS NOT NULL AND name NOT IN"
        " (SELECT name FROM pg_settings WHERE pending_restart) ORDER BY seqno"
    ).fetchall()
    notes = ["configuration changed and reloaded"]
    if waiting:
        notes.append(f"restart needed for: {', '.join(str(row[0]) for row in waiting)}")
    notes += [f"setting {row[0]} not applied: {row[1]}" for row in wrong]
    return notes
