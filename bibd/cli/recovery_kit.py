"""``bib admin recovery-kit``: the private half is made, shown and tested here, and never sent to the daemon."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bibd.cli.groups import group, help_when_alone
from bibd.cli.output import emit, emit_json, warn
from bibd.cli.session import Session, command
from bibd.errors import BibdError, IntegrityError, UsageError

if TYPE_CHECKING:
    from bibd.identity.kit import RecoveryKit

app = group()
_TIMEOUT = 10.0
_KIT_LIMIT = 64 * 1024


@app.callback(invoke_without_command=True)
def recovery_kit(context: typer.Context) -> None:
    """Make keys that open this node's backups when the node itself is lost.

    \b
    Exit codes: 0 ok, 1 failed, 2 usage, 3 no daemon answers, 5 a kit is damaged or not this node's
    """
    help_when_alone(context)


@command(app, "create")
def create(
    session: Session,
    *,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the kit to a new file instead.")
    ] = None,
    words: Annotated[bool, typer.Option("--words", help="With --out: show the 24 words too.")] = False,
    qr: Annotated[bool, typer.Option("--qr", help="Show the words as a QR code too, on stderr.")] = False,
) -> None:
    """Make a recovery kit: backups made from now on can be opened with it.

    It is shown once, and kept nowhere: print it, write it down, or write it to a stick with --out.

    \b
    Examples:
      bib admin recovery-kit create --qr
      bib admin recovery-kit create --out /media/stick/kit.txt
      bib admin recovery-kit create | lpr
    """
    if qr and session.as_json:
        raise UsageError("--qr does not go with -o json")
    from bibd.identity.wrap import PublicKey

    kit = _new_kit(str(_ask(session, "status")["node_id"]))
    public: PublicKey = kit.key.public
    if out is not None:
        _write_new(out, kit.render())
    try:
        _ask(session, "recovery_kit.add", public=public.text())
        try:
            _present(session, kit, out, words=words, qr=qr)
        except BaseException:
            # Nobody has seen it whole, so nobody has it.
            with suppress(BibdError):
                _ask(session, "recovery_kit.remove", fingerprint=public.fingerprint)
            raise
    except BaseException:
        if out is not None:
            out.unlink(missing_ok=True)
        raise
    warn("Keep the kit away from this machine and from the backups. Test it now and then: recovery-kit verify")


@command(app, "list")
def list_kits(session: Session) -> None:
    """List the recovery kits that backups are made for, by fingerprint.

    \b
    Example:
      bib admin recovery-kit list
    """
    answer: list[dict[str, str]] = _ask(session, "recovery_kit.list")
    if session.as_json:
        emit_json(answer)
    elif not answer:
        emit("no recovery kits: when this node is lost, nobody can open its backups")
    else:
        emit("FINGERPRINT       ADDED (UTC)")
        for kit in answer:
            emit(f"{kit['fingerprint']}  {kit['added_at'][:19].replace('T', ' ')}")


@command(app, "remove")
def remove(session: Session, fingerprint: Annotated[str, typer.Argument(help="As list shows it.")]) -> None:
    """Make no more backups for a kit. Those that exist can still be opened with it.

    \b
    Example:
      bib admin recovery-kit remove lq3vszkxq5gq7mzw
    """
    answer = _ask(session, "recovery_kit.remove", fingerprint=fingerprint.lower())
    if session.as_json:
        emit_json(answer)
    else:
        emit(f"recovery kit {answer['fingerprint']} is removed: backups made until now can still be opened with it")


@command(app, "verify")
def verify(
    session: Session, file: Annotated[str, typer.Argument(help="The kit's file, or its 24 words; - for stdin.")]
) -> None:
    """Prove that a kit opens what this node wraps for it. The kit is read here, and does not leave this command.

    \b
    Examples:
      bib admin recovery-kit verify /media/stick/kit.txt
      bib admin recovery-kit verify -            # type the words, then Ctrl-D
    """
    import base64
    import hashlib

    from bibd.admin.recovery_kits import context_of_test
    from bibd.identity.kit import read_key
    from bibd.identity.wrap import Wrapped, unwrap

    key = read_key(_read(file))
    fingerprint = key.public.fingerprint
    test = _ask(session, "recovery_kit.test", fingerprint=fingerprint)
    wrapped = Wrapped.from_bytes(base64.b64decode(test["wrapped"]))
    data_key = unwrap([wrapped], key, context_of_test(test["node_id"]))
    if hashlib.sha256(data_key).hexdigest() != test["digest"]:
        raise IntegrityError(f"recovery kit {fingerprint} opens something else than this node has wrapped")
    if session.as_json:
        emit_json({"fingerprint": fingerprint, "node_id": test["node_id"], "ok": True})
    else:
        emit(f"recovery kit {fingerprint} is good: it opens the backups of node {test['node_id']}")


def _ask(session: Session, method: str, **params: str) -> Any:
    with session.client() as client:
        return client.call(method, params, timeout=_TIMEOUT)


def _new_kit(node_id: str) -> RecoveryKit:
    import secrets
    import time

    from bibd.admin.schema import timestamp
    from bibd.identity.kit import RecoveryKit
    from bibd.identity.wrap import PrivateKey

    return RecoveryKit(PrivateKey(secrets.token_bytes(32)), node_id, timestamp(time.time()))


def _present(session: Session, kit: RecoveryKit, out: Path | None, *, words: bool, qr: bool) -> None:
    fingerprint, shown = kit.key.public.fingerprint, kit.words() if out is None or words else None
    if session.as_json:
        emit_json({
            "fingerprint": fingerprint, "node_id": kit.node_id, "made": kit.made,
            "file": str(out) if out is not None else None, "words": shown,
        })  # fmt: skip
        return
    if out is None:
        emit(kit.render().rstrip("\n"))
    else:
        emit(f"recovery kit {fingerprint} is in {out}")
        if shown is not None:
            emit(shown)
    if qr:
        warn(_qr(kit.words()))  # not on stdout: what is piped from there stays a kit that verify reads


def _qr(text: str) -> str:
    import io

    import segno

    drawn = io.StringIO()
    segno.make_qr(text, error="m").terminal(drawn, compact=True)
    return drawn.getvalue().rstrip("\n")


def _write_new(path: Path, text: str) -> None:
    """Onto the disk, 0600, where nothing is yet. No temporary name and no link: sticks have file systems without."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise BibdError(f"{path} exists already", "name a new file: a kit is never overwritten") from None
    except OSError as error:
        raise BibdError(f"cannot make {path}: {error.strerror}", "name a file in a directory of your own") from error
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise BibdError(f"cannot write {path}: {error.strerror}", "free some space, or name another place") from error


def _read(file: str) -> str:
    try:
        raw = sys.stdin.read(_KIT_LIMIT) if file == "-" else Path(file).read_bytes()[:_KIT_LIMIT].decode("ascii")
    except OSError as error:
        raise BibdError(f"cannot read {file}: {error.strerror}", "name the kit's file, or - for stdin") from error
    except UnicodeDecodeError:
        raise IntegrityError("the recovery kit is damaged: it is not plain text", "use another copy of it") from None
    return raw
