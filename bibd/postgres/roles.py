"""The two roles (superuser `postgres`, owner `bibd`) and the database `bibd`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bibd.errors import BibdError
from bibd.postgres import server_log
from bibd.postgres.account import Account
from bibd.postgres.binaries import Binaries
from bibd.postgres.child import run
from bibd.postgres.vault import Vault, new_password

SUPERUSER = "postgres"
OWNER = "bibd"
DATABASE = "bibd"

# Names in the vault.
_SUPERUSER_KEY = "postgres/superuser"
_OWNER_KEY = "postgres/bibd"

# PostgreSQL's default scram_iterations; the password has 256 bits, so more would only slow logins down.
_ITERATIONS = 4096

# In single-user mode crash recovery comes first, and that takes what it takes.
SINGLE_USER_TIMEOUT = 3600.0


@dataclass(frozen=True, slots=True)
class Passwords:
    superuser: str = field(repr=False)
    owner: str = field(repr=False)


def load_passwords(vault: Vault, known: Passwords | None = None) -> tuple[Passwords, bool]:
    """The passwords, and whether any had to be made. They are in the vault before they are used anywhere.

    A vault that has lost them gets those that are ``known`` back: new ones would lock all clients out.
    """
    superuser, owner = vault.get(_SUPERUSER_KEY), vault.get(_OWNER_KEY)
    if superuser is not None and owner is not None:
        return Passwords(superuser, owner), False
    if known is not None:
        known = Passwords(superuser or known.superuser, owner or known.owner)
        vault.put({_SUPERUSER_KEY: known.superuser, _OWNER_KEY: known.owner})
        return known, False
    made = Passwords(superuser or new_password(), owner or new_password())
    vault.put({_SUPERUSER_KEY: made.superuser, _OWNER_KEY: made.owner})
    return made, True


def scram_verifier(password: str, salt: bytes) -> str:
    """What the server stores for an ASCII password (RFC 5803): sent instead of it, it keeps it out of the server.

    libpq has this too, but only psycopg's import and a connection object lead there, and a first start has neither.
    """
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, _ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    encoded = [base64.b64encode(part).decode() for part in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${_ITERATIONS}:{encoded[0]}${encoded[1]}:{encoded[2]}"


def create_owner(passwords: Passwords) -> str:
    return f"CREATE ROLE {OWNER} LOGIN PASSWORD '{scram_verifier(passwords.owner, os.urandom(16))}'"


def create_database() -> str:
    return f"CREATE DATABASE {DATABASE} OWNER {OWNER}"


def creation(passwords: Passwords, major: int) -> list[str]:
    """For a new data directory, whose superuser has its password from initdb."""
    # Copying files is twice as fast as logging each page, and here nothing is synced yet. The only way before 15.
    strategy = " STRATEGY FILE_COPY" if major >= 15 else ""
    return [create_owner(passwords), create_database() + strategy]


def alter_password(role: str, password: str) -> str:
    return f"ALTER ROLE {role} PASSWORD '{scram_verifier(password, os.urandom(16))}'"


def reset(passwords: Passwords) -> list[str]:
    """For a data directory whose passwords are not known. A missing owner is made once one can log in."""
    return [
        alter_password(SUPERUSER, passwords.superuser),
        f"DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{OWNER}') THEN "
        f"{alter_password(OWNER, passwords.owner)}; END IF; END $$",
    ]


def run_single_user(
    data: Path,
    statements: Sequence[str],
    *,
    binaries: Binaries,
    account: Account,
    cancel: threading.Event,
    fsync: bool = True,
) -> None:
    """Execute statements on a stopped server, without a password. Raises BibdError with the server's words.

    The statements go through a pipe, so they are in no list of processes.
    """
    argv: list[str | Path] = [binaries.tool("postgres"), "--single", "-D", data]
    # A failing statement is not logged: it may hold a verifier.
    argv += ["-c", "log_min_error_statement=panic", "-c", "log_checkpoints=off"]
    if not fsync:
        argv.append("-F")
    script = "".join(statement + "\n" for statement in statements)
    finished = run([*argv, SUPERUSER], account=account, cancel=cancel, timeout=SINGLE_USER_TIMEOUT, stdin=script)
    # Single-user mode goes on after an error and ends with 0.
    errors = [line for line in finished.output.splitlines() if re.search(r"\b(ERROR|FATAL|PANIC):", line)]
    if finished.code or errors:
        what = "\n".join(errors) or f"exit code {finished.code}"
        hint = server_log.hint(what) or "the lines above say why"
        raise BibdError(f"the server in single-user mode failed: {what}", hint)
