"""``bib admin status --watch``: redrawn on a terminal, one JSON object a line elsewhere.

A daemon that restarts is what one watches for: only the first look fails the command.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import closing
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from bibd.admin.client import AdminClient
from bibd.cli.output import console, emit, error_text
from bibd.cli.render import status_view
from bibd.cli.session import Session
from bibd.errors import BibdError, UnreachableError

ANSWER_SECONDS = 5.0


def watch_status(session: Session, interval: float) -> None:
    """Until interrupted. Raises BibdError when the first look fails."""
    with closing(session.client()) as client:
        answer = client.call("status", timeout=ANSWER_SECONDS)
        if session.as_json or not sys.stdout.isatty():
            while True:
                emit(error_text(answer, as_json=True) if isinstance(answer, BibdError) else json.dumps(answer))
                time.sleep(interval)
                answer = _look(client)
        with Live(_view(answer), console=console(sys.stdout), auto_refresh=False, transient=False) as live:
            while True:
                time.sleep(interval)
                live.update(_view(_look(client)), refresh=True)


def _look(client: AdminClient) -> Any:
    try:
        return client.call("status", timeout=ANSWER_SECONDS)
    except UnreachableError as error:
        return error


def _view(answer: Any) -> RenderableType:
    if isinstance(answer, BibdError):
        return Text(f"{error_text(answer, as_json=False)}\nstill watching; Ctrl-C ends it")
    return Group(status_view(answer), Text("\nCtrl-C ends it", "dim"))
