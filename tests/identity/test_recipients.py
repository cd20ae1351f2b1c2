"""The list of recovery kits is the node's own: nobody else adds to it or takes from it unnoticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bibd.errors import BibdError, IntegrityError
from bibd.identity.node import NodeIdentity
from bibd.identity.recipients import PURPOSE, Recipient, Recipients
from bibd.identity.wrap import PrivateKey
from tests.identity.damage import flipped

IDENTITY = NodeIdentity.of(bytes(32))
FIRST, SECOND = (Recipient(PrivateKey(bytes([n]) * 32).public, f"2026-01-0{n}T00:00:00.000Z") for n in (1, 2))


def known(path: Path, identity: NodeIdentity = IDENTITY) -> Recipients:
    return Recipients(path, identity.sealing_key(PURPOSE))


def test_added_kits_are_there_after_a_restart_until_they_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "recipients.enc"
    assert known(path).all() == ()
    known(path).add(FIRST)
    known(path).add(SECOND)
    assert known(path).all() == (FIRST, SECOND)
    assert known(path).find(SECOND.public.fingerprint) == SECOND
    assert known(path).remove(FIRST.public.fingerprint) == FIRST
    assert known(path).all() == (SECOND,)


def test_a_kit_is_there_once(tmp_path: Path) -> None:
    known(tmp_path / "f").add(FIRST)
    with pytest.raises(BibdError, match="registered already"):
        known(tmp_path / "f").add(FIRST)
    assert known(tmp_path / "f").all() == (FIRST,)


def test_unknown_fingerprint_is_named_and_changes_nothing(tmp_path: Path) -> None:
    known(tmp_path / "f").add(FIRST)
    for action in (known(tmp_path / "f").remove, known(tmp_path / "f").find):
        with pytest.raises(BibdError, match="no recovery kit nothing"):
            action("nothing")
    assert known(tmp_path / "f").all() == (FIRST,)


def test_damaged_or_foreign_list_is_never_taken_for_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "f"
    known(path).add(FIRST)
    with pytest.raises(IntegrityError, match="sealed by node"):
        known(path, NodeIdentity.of(bytes([9]) * 32)).all()
    damaged = flipped(path.read_bytes(), 8000)
    path.write_bytes(damaged)
    with pytest.raises(IntegrityError, match="damaged"):
        known(path).add(SECOND)
    assert path.read_bytes() == damaged
