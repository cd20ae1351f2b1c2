"""identity.pem: made once, never replaced, and never used when it is not what it was."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from bibd.datadir import DataDir
from bibd.durable import create_file
from bibd.errors import BibdError, IntegrityError
from bibd.identity.key_file import load_or_create, render
from bibd.identity.node import NodeIdentity
from bibd.process.directory import prepare
from tests.identity.damage import every_flip


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    return prepare(tmp_path / "d")


def put(data: DataDir, content: bytes, mode: int = 0o600) -> None:
    data.identity.write_bytes(content)
    data.identity.chmod(mode)


def refused(data: DataDir) -> BibdError:
    """The error of a start, which changes nothing."""
    before = sorted((path, path.lstat()) for path in data.root.rglob("*"))
    with pytest.raises(BibdError) as caught:
        load_or_create(data)
    assert caught.value.hint
    assert [path for path, _ in before] == sorted(data.root.rglob("*"))
    return caught.value


def test_first_start_makes_it_and_every_later_one_reads_it(data: DataDir) -> None:
    made = load_or_create(data)
    found = data.identity.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_nlink) == (0o600, 1)
    assert load_or_create(data) == made
    assert data.identity.stat().st_ino == found.st_ino
    assert sorted(path.name for path in data.root.iterdir()) == ["identity.pem", "logs", "secrets"]


def test_two_nodes_are_two(data: DataDir, tmp_path: Path) -> None:
    assert load_or_create(data).node_id != load_or_create(prepare(tmp_path / "e")).node_id


def test_file_is_pkcs8_that_other_programs_read(data: DataDir) -> None:
    made = load_or_create(data)
    key = load_pem_private_key(data.identity.read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    assert key.private_bytes_raw() == made.seed
    assert key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) in data.identity.read_bytes()


def test_key_that_another_program_made_is_taken_as_it_is(data: DataDir) -> None:
    key = Ed25519PrivateKey.generate()
    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    put(data, content)
    assert load_or_create(data).seed == key.private_bytes_raw()
    assert data.identity.read_bytes() == content


def test_any_flipped_bit_is_detected_and_named(data: DataDir) -> None:
    for at, content in every_flip(render(NodeIdentity.of(bytes(range(32))))):
        put(data, content)
        with pytest.raises(IntegrityError, match="damaged") as caught:
            load_or_create(data)
        assert str(data.identity) in caught.value.message, at
        assert data.identity.read_bytes() == content


@pytest.mark.parametrize("length", [0, 1, 30, 80, 181])
def test_file_cut_short_is_damaged_and_stays(data: DataDir, length: int) -> None:
    put(data, render(NodeIdentity.of(bytes(32)))[:length])
    error = refused(data)
    assert (error.exit_code, "damaged" in error.message, "restore" in error.hint) == (5, True, True)


def pem(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey, password: bytes | None = None
) -> bytes:
    encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (pem(rsa.generate_private_key(65537, 2048)), "type RSA, not Ed25519"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "not Ed25519"),
        (pem(Ed25519PrivateKey.generate(), b"passphrase"), "passphrase"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no private key"),
        (b"\xff\xfe\x00", "damaged"),
    ],
    ids=["rsa", "ec", "encrypted", "certificate", "binary"],
)
def test_what_is_no_ed25519_key_is_named(data: DataDir, content: bytes, text: str) -> None:
    put(data, content)
    error = refused(data)
    assert error.exit_code == 5
    assert text in error.message


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_file_that_others_can_reach_is_refused(data: DataDir, mode: int) -> None:
    put(data, render(NodeIdentity.of(bytes(32))), mode)
    error = refused(data)
    assert error.exit_code == 1
    assert f"{mode:04o}" in error.message
    assert f"chmod 600 {data.identity}" in error.hint


def test_file_of_another_account_is_refused(data: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
    put(data, render(NodeIdentity.of(bytes(32))))
    monkeypatch.setattr(os, "geteuid", lambda: data.identity.stat().st_uid + 1)
    error = refused(data)
    assert (error.exit_code, "belongs to" in error.message, "chown" in error.hint) == (1, True, True)


def test_what_is_no_file_is_refused(data: DataDir) -> None:
    os.mkfifo(data.identity, 0o600)
    assert "not a file" in refused(data).message
    data.identity.unlink()
    data.identity.symlink_to(data.root / "gone")
    assert "broken symbolic link" in refused(data).hint


def test_lost_identity_is_not_replaced_while_sealed_files_need_it(data: DataDir) -> None:
    data.passwords.write_bytes(b"sealed")
    error = refused(data)
    assert error.exit_code == 5
    assert "db.enc" in error.message
    assert "restore it" in error.hint


def test_identity_that_appears_meanwhile_is_never_overwritten(data: DataDir) -> None:
    with pytest.raises(FileExistsError):
        create_file(Path(__file__), b"")
    with ThreadPoolExecutor(8) as threads:

        def make(number: int) -> bool:
            try:
                create_file(data.identity, bytes([number]) * 1000)
            except FileExistsError:
                return False
            return True

        assert sum(threads.map(make, range(32))) == 1
    assert len(set(data.identity.read_bytes())) == 1
    assert data.identity.stat().st_size == 1000
    assert [path.name for path in data.root.glob(".*")] == []


MAKE = """
import sys
from pathlib import Path
from bibd.datadir import DataDir
from bibd.identity.key_file import load_or_create
from bibd.identity.node import NodeIdentity
NodeIdentity.of(bytes(32))
print("go", flush=True)
for number in range(10_000):
    directory = Path(sys.argv[1]) / str(number)
    (directory / "secrets").mkdir(parents=True)
    load_or_create(DataDir(directory))
"""


def test_kill_in_the_middle_of_the_first_start_leaves_none_or_a_whole_one(tmp_path: Path) -> None:
    # One directory after another, and a kill somewhere: the last one holds nothing or a whole identity.
    torn = 0
    for attempt in range(12):
        root = tmp_path / str(attempt)
        with subprocess.Popen([sys.executable, "-c", MAKE, str(root)], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(0.004 + attempt * 0.0013)  # the moment is the input of this test
            child.send_signal(signal.SIGKILL)
        last = max(root.iterdir(), key=lambda path: int(path.name))
        data = DataDir(last)
        data.secrets.mkdir(exist_ok=True)
        content = data.identity.read_bytes() if data.identity.exists() else None
        torn += bool(list(last.glob(".*"))) or content is None
        identity = load_or_create(data)
        assert content in {None, render(identity)}
        assert list(last.glob(".*")) == []
        assert load_or_create(data) == identity
    assert torn, "no kill hit the middle of a creation"
