"""The one root of every error that bibd raises on purpose.

An error says what happened, to what, and what to do next. The exit codes are part of the interface:
0 ok, 1 failed, 2 usage, 3 daemon not reachable, 4 refused without --force, 5 integrity, 78 configuration
(78 is EX_CONFIG of sysexits(3)).
"""

from __future__ import annotations


class BibdError(Exception):
    """Something failed in a way that bibd understands.

    ``message`` says what happened and to what, ``hint`` what to do next. Neither ever holds a secret.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "", exit_code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.message}\nHINT: {self.hint}" if self.hint else self.message


class UsageError(BibdError):
    """The command line does not make sense."""

    exit_code = 2


class UnreachableError(BibdError):
    """No daemon answers."""

    exit_code = 3


class RefusedError(BibdError):
    """Possible, but not without --force."""

    exit_code = 4


class IntegrityError(BibdError):
    """Data is not what it should be."""

    exit_code = 5


class ConfigError(BibdError):
    """The configuration cannot work."""

    exit_code = 78
