"""What is sealed is read back, by its own node alone, and whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bibd.errors import BibdError, IntegrityError
from bibd.identity.node import NodeIdentity
from bibd.identity.sealed import SealedFile
from bibd.identity.vault import PURPOSE, SealedVault
from tests.identity.damage import every_flip

IDENTITY, STRANGER = NodeIdentity.of(bytes(32)), NodeIdentity.of(bytes([1]) * 32)
# What bibd wrote with format 1. It is readable for ever.
FORMAT_1 = bytes.fromhex(
    "62696264207365616c656420312070617373776f72647320313244334b6f6f5744704a3741733742574177524d6675315655"
    "325743714e6a76713338374a45594b44426a346b78366e58544e0ab575a7de2ba2a65a49b15ffdec363b79a816bafb8ef808"
    "3b1def68ce3dc2505b4c5f9bce74cb3ca4b70eeff6c7dd0b1b8b4c45a2402619"
)


def sealed(path: Path, identity: NodeIdentity = IDENTITY, purpose: str = PURPOSE) -> SealedFile:
    return SealedFile(path, identity.sealing_key(purpose), "what was in it is lost")


@given(st.binary(max_size=500))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_round_trip(tmp_path: Path, content: bytes) -> None:
    file = sealed(tmp_path / "f")
    file.write(content)
    assert file.read() == content
    assert file.path.stat().st_mode & 0o777 == 0o600


def test_the_same_content_never_looks_the_same(tmp_path: Path) -> None:
    seen: set[bytes] = set()
    for _ in range(50):
        sealed(tmp_path / "f").write(b"same")
        seen.add((tmp_path / "f").read_bytes())
    assert len({content[-32:] for content in seen}) == 50


def test_absent_file_is_none(tmp_path: Path) -> None:
    assert sealed(tmp_path / "f").read() is None


def test_any_flipped_bit_is_damage_and_the_file_stays(tmp_path: Path) -> None:
    file = sealed(tmp_path / "f")
    file.write(b'{"a": "secret"}')
    for at, content in every_flip(file.path.read_bytes()):
        file.path.write_bytes(content)
        with pytest.raises(IntegrityError, match="is damaged") as caught:
            file.read()
        assert (str(file.path) in caught.value.message, "what was in it is lost" in caught.value.hint) == (
            True,
            True,
        ), at
        assert file.path.read_bytes() == content


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_cut_or_prolonged_file_is_damage(tmp_path: Path, data: st.DataObject) -> None:
    file = sealed(tmp_path / "f")
    file.write(b"content")
    whole = file.path.read_bytes()
    cut = data.draw(st.integers(0, len(whole) - 1))
    file.path.write_bytes(data.draw(st.sampled_from([whole[:cut], whole[cut + 1 :], whole + b"\0"])))
    with pytest.raises(IntegrityError, match="is damaged"):
        file.read()


def test_file_of_another_node_is_named_with_both(tmp_path: Path) -> None:
    sealed(tmp_path / "f", STRANGER).write(b"theirs")
    with pytest.raises(IntegrityError) as caught:
        sealed(tmp_path / "f").read()
    assert f"sealed by node {STRANGER.node_id}" in caught.value.message
    assert IDENTITY.node_id in caught.value.message
    assert "identity.pem" in caught.value.hint


def test_file_of_another_purpose_does_not_open(tmp_path: Path) -> None:
    sealed(tmp_path / "f", purpose="recipients").write(b"x")
    with pytest.raises(IntegrityError, match="is damaged"):
        sealed(tmp_path / "f").read()


def test_format_of_the_future_is_not_called_damage(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(f"bibd sealed 2 {PURPOSE} {IDENTITY.node_id}\n".encode() + bytes(60))
    with pytest.raises(IntegrityError, match="has format 2"):
        sealed(tmp_path / "f").read()


def test_format_1_is_readable_for_ever(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(FORMAT_1)
    assert SealedVault(tmp_path / "f", IDENTITY.sealing_key(PURPOSE)).get("postgres/bibd") == "s3cret"


def test_vault_keeps_what_it_is_given_and_shows_none_of_it(tmp_path: Path) -> None:
    path = tmp_path / "secrets/db.enc"
    vault = SealedVault(path, IDENTITY.sealing_key(PURPOSE))
    assert vault.get("a") is None
    vault.put({"a": "first-s3cret", "b": "2"})
    SealedVault(path, IDENTITY.sealing_key(PURPOSE)).put({"b": "3"})
    assert (vault.get("a"), vault.get("b"), vault.get("c")) == ("first-s3cret", "3", None)
    assert b"s3cret" not in path.read_bytes()
    assert "s3cret" not in repr(vars(vault))
    assert (path.parent.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)


@given(st.dictionaries(st.text(), st.text(st.characters(exclude_categories=["Cs"]))))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_vault_holds_any_text(tmp_path: Path, entries: dict[str, str]) -> None:
    (tmp_path / "f").unlink(missing_ok=True)
    vault = SealedVault(tmp_path / "f", IDENTITY.sealing_key(PURPOSE))
    vault.put(entries)
    assert {name: vault.get(name) for name in entries} == entries


def test_damaged_vault_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "db.enc"
    path.write_bytes(b"{}")
    with pytest.raises(IntegrityError, match="new passwords") as caught:
        SealedVault(path, IDENTITY.sealing_key(PURPOSE)).put({"a": "s3cret"})
    assert path.read_bytes() == b"{}"
    assert "s3cret" not in str(caught.value)


def test_file_that_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    with pytest.raises(BibdError, match="cannot read"):
        sealed(tmp_path / "f").read()
    with pytest.raises(BibdError, match="cannot write"):
        sealed(tmp_path / "f").write(b"")
