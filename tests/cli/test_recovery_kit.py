"""``bib admin recovery-kit`` against a real admin socket and a real list of kits."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bibd.admin.call import Call, Responder
from bibd.admin.recovery_kits import recovery_kit_methods
from bibd.errors import BibdError
from bibd.identity.kit import read_key, to_words
from bibd.identity.node import NodeIdentity
from tests.admin.fake_daemon import node_status, serving
from tests.cli.conftest import Bib

IDENTITY = NodeIdentity.of(bytes(32))


class Daemon:
    """The daemon's part of recovery kits; keeps every parameter that reached it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.received: list[object] = []
        self.refuse: str | None = None

    def handle(self, call: Call, responder: Responder) -> None:
        self.received.append(call.params)
        if call.method == "status":
            return responder.result(node_status())
        if call.method == self.refuse:
            return responder.error(BibdError("the disk is full"))
        try:
            methods = recovery_kit_methods(IDENTITY, self.path, lambda: 1_769_860_800.0)
            return responder.result(methods[call.method](call.params))
        except BibdError as error:
            return responder.error(error)


@pytest.fixture
def kits(socket_path: Path, home: Path) -> Iterator[Daemon]:
    daemon = Daemon(home / "secrets/recipients.enc")
    with serving(socket_path, daemon.handle):
        yield daemon


def listed(bib: Bib) -> list[str]:
    return [kit["fingerprint"] for kit in json.loads(bib("admin", "recovery-kit", "list", "-o", "json").out)]


def test_kit_on_stdout_is_registered_and_can_be_verified(kits: Daemon, bib: Bib) -> None:
    made = bib("admin", "recovery-kit", "create")
    assert made.code == 0
    key = read_key(made.out)
    assert listed(bib) == [key.public.fingerprint]
    checked = bib("admin", "recovery-kit", "verify", "-", stdin=made.out)
    assert (checked.code, "is good" in checked.out) == (0, True)
    assert bib("admin", "recovery-kit", "verify", "-", stdin=to_words(key.seed)).code == 0
    # The private half reached neither the daemon nor a file.
    words = to_words(key.seed)
    assert words not in repr(kits.received)
    assert key.seed.hex() not in repr(kits.received)
    assert all(key.seed not in path.read_bytes() for path in kits.path.parent.iterdir())


def test_kit_in_a_file_is_private_and_not_shown(kits: Daemon, bib: Bib, home: Path) -> None:
    file = home / "kit.txt"
    made = bib("admin", "recovery-kit", "create", "--out", str(file))
    words = to_words(read_key(file.read_text()).seed)
    assert file.stat().st_mode & 0o777 == 0o600
    assert (made.code, words in made.out + made.err) == (0, False)
    checked = bib("admin", "recovery-kit", "verify", str(file), "-o", "json")
    assert json.loads(checked.out) == {"fingerprint": listed(bib)[0], "node_id": IDENTITY.node_id, "ok": True}
    assert kits.path.exists()


@pytest.mark.usefixtures("kits")
def test_words_and_qr_code_are_shown_when_asked_for(bib: Bib, home: Path) -> None:
    made = bib("admin", "recovery-kit", "create", "--out", str(home / "kit.txt"), "--words", "--qr")
    assert to_words(read_key((home / "kit.txt").read_text()).seed) in made.out
    drawn = [line for line in made.err.splitlines() if re.fullmatch(r"[█▀▄ ]{40,}", line)]
    assert len(drawn) > 20
    assert len({len(line) for line in drawn}) == 1
    assert not re.search("[█▀▄]", made.out)


@pytest.mark.usefixtures("kits")
def test_json_holds_the_words_only_when_no_file_does(bib: Bib, home: Path) -> None:
    shown = json.loads(bib("admin", "recovery-kit", "create", "-o", "json").out)
    assert read_key(shown["words"]).public.fingerprint == shown["fingerprint"]
    to_file = json.loads(bib("admin", "recovery-kit", "create", "-o", "json", "--out", str(home / "k")).out)
    assert (to_file["words"], to_file["file"]) == (None, str(home / "k"))
    assert bib("admin", "recovery-kit", "create", "-o", "json", "--qr").code == 2


def test_existing_file_is_never_overwritten(kits: Daemon, bib: Bib, home: Path) -> None:
    (home / "kit.txt").write_text("precious")
    made = bib("admin", "recovery-kit", "create", "--out", str(home / "kit.txt"))
    assert (made.code, "exists already" in made.err) == (1, True)
    assert (home / "kit.txt").read_text() == "precious"
    assert not kits.path.exists()


def test_kit_that_the_daemon_refuses_leaves_no_file(kits: Daemon, bib: Bib, home: Path) -> None:
    kits.refuse = "recovery_kit.add"
    made = bib("admin", "recovery-kit", "create", "--out", str(home / "kit.txt"))
    assert (made.code, "the disk is full" in made.err) == (1, True)
    assert not (home / "kit.txt").exists()


def test_kit_that_could_not_be_shown_is_not_registered(kits: Daemon, bib: Bib, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: str) -> None:
        raise BibdError("cannot write the output: No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("bibd.cli.recovery_kit.emit", full)
        assert bib("admin", "recovery-kit", "create").code == 1
    assert kits.path.exists()
    assert listed(bib) == []


@pytest.mark.usefixtures("kits")
def test_removed_kit_no_longer_verifies(bib: Bib, home: Path) -> None:
    file = home / "kit.txt"
    bib("admin", "recovery-kit", "create", "--out", str(file))
    (fingerprint,) = listed(bib)
    assert fingerprint in bib("admin", "recovery-kit", "list").out
    assert bib("admin", "recovery-kit", "remove", fingerprint.upper()).code == 0
    assert "nobody can open" in bib("admin", "recovery-kit", "list").out
    gone = bib("admin", "recovery-kit", "verify", str(file))
    assert (gone.code, f"no recovery kit {fingerprint}" in gone.err) == (1, True)
    assert bib("admin", "recovery-kit", "remove", fingerprint).code == 1


@pytest.mark.usefixtures("kits")
def test_damaged_kit_is_an_integrity_error_that_quotes_nothing(bib: Bib, home: Path) -> None:
    file = home / "kit.txt"
    bib("admin", "recovery-kit", "create", "--out", str(file))
    words = to_words(read_key(file.read_text()).seed).split()
    file.write_text(file.read_text().replace("words:\n  ", "words:\n  x"))
    shown = bib("admin", "recovery-kit", "verify", str(file))
    assert (shown.code, "is damaged" in shown.err) == (5, True)
    assert "x" + words[0] not in shown.err
    file.write_bytes(b"\xff\xfe")
    assert bib("admin", "recovery-kit", "verify", str(file)).code == 5
    assert bib("admin", "recovery-kit", "verify", str(home / "absent")).code == 1


@pytest.mark.usefixtures("home")
def test_without_a_daemon_no_kit_is_made(bib: Bib, socket_path: Path, home: Path) -> None:
    assert not socket_path.exists()
    assert bib("admin", "recovery-kit", "create", "--out", str(home / "kit.txt")).code == 3
    assert not (home / "kit.txt").exists()
