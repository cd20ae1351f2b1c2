"""``bibd``: the daemon's command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bibd.errors import BibdError
from bibd.process.signals import Signals

_EPILOG = """\
exit codes: 0 stopped as asked, 1 failed, 2 usage, 78 configuration
configuration: defaults < file < environment (BIBD_DATABASE__BACKEND=sqlite) < flags
signals: TERM or INT stop gracefully, a second one at once; HUP reads the configuration again
example: bibd --config ./config.yaml
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon with these arguments (default: those of the process). Returns the exit code."""
    _open_missing_streams()
    # First of all: from here on a signal is a wish, not a death half-way through.
    signals = Signals()
    try:
        return _main(sys.argv[1:] if argv is None else argv, signals)
    except BibdError as error:
        print(f"bibd: error: {error}", file=sys.stderr)  # noqa: T201 - there is no log yet
        return error.exit_code
    finally:
        # Whoever passes arguments has a process that goes on.
        signals.retire() if argv is None else signals.close()


def _open_missing_streams() -> None:
    """Started with 0, 1 or 2 closed (``bibd 2>&-``): the next files to be opened would get their numbers, so that a
    child's error message would go into the lock file; and sys.stderr would be None."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one: those below it are open by now.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115


def _main(argv: Sequence[str], signals: Signals) -> int:
    import argparse

    parser = argparse.ArgumentParser(
        prog="bibd",
        description="Own the whole life of a PostgreSQL or SQLite database: provision, watch, migrate, stop cleanly.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="the configuration (default: config.yaml in "
                        "~/.config/bibd, then /etc/bibd; none is needed)")  # fmt: skip
    parser.add_argument("--check", action="store_true", help="validate the configuration and exit")
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    args = parser.parse_args(argv)
    if args.version:
        from bibd import __version__

        print(f"bibd {__version__}")  # noqa: T201
        return 0

    from bibd.config.load import Loaded, find_file, load

    home = Path.home()

    def read() -> Loaded:
        return load(find_file(args.config, os.environ, home, os.geteuid()), os.environ, {})

    loaded = read()
    if args.check:
        for warning in loaded.warnings:
            print(f"bibd: warning: {warning}", file=sys.stderr)  # noqa: T201
        print(f"configuration is valid ({loaded.path or 'no file, defaults'})")  # noqa: T201
        return 0

    from actors.app import Process, run

    return run(loaded, read, Process(os.environ, home, sys.stderr, signals))


if __name__ == "__main__":
    sys.exit(main())
