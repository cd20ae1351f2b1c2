"""A recovery kit on paper or in a file: the private half of an offline key pair, as 24 words.

The words are those of BIP-39 (English; 256 bits and 8 bits of checksum), because they survive handwriting and reading
aloud. A kit's file says more, and its checksum covers every character of it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from bibd.errors import IntegrityError
from bibd.identity.wrap import PrivateKey

_WORDS = 24
_WORDS_A_LINE = 6
_CHECKSUM = 16
# After every run of white space has become one space: e-mail and editors change it.
_FILE = re.compile(
    r"bibd recovery kit 1 node: (?P<node>\S+) fingerprint: (?P<fingerprint>[a-z2-7]{16}) made: (?P<made>\S+)"
    r" words: (?P<words>[a-z]+(?: [a-z]+){23}) note: .* checksum: (?P<checksum>[0-9a-f]{16})"
)
_NOTE = """note:
  Whoever has these words can read every backup that this node makes from now on.
  Keep them away from the node, and from its backups. Other than here they exist nowhere.
  To check them: bib admin recovery-kit verify FILE
"""
_AGAIN = "compare it with another copy of the kit; or make a new one: bib admin recovery-kit create"


@dataclass(frozen=True, slots=True)
class RecoveryKit:
    """``made`` is a time (RFC 3339)."""

    key: PrivateKey
    node_id: str
    made: str

    def render(self) -> str:
        words = self.words().split()
        lines = [words[at : at + _WORDS_A_LINE] for at in range(0, _WORDS, _WORDS_A_LINE)]
        text = (
            f"bibd recovery kit 1\n"
            f"node: {self.node_id}\nfingerprint: {self.key.public.fingerprint}\nmade: {self.made}\n\n"
            f"words:\n" + "".join(f"  {' '.join(line)}\n" for line in lines) + f"\n{_NOTE}\n"
        )
        return f"{text}checksum: {_checksum(_plain(text))}\n"

    def words(self) -> str:
        return to_words(self.key.seed)


def to_words(seed: bytes) -> str:
    """24 lower-case words with a space between them."""
    from mnemonic import Mnemonic

    return Mnemonic("english").to_mnemonic(seed)


def read_key(text: str) -> PrivateKey:
    """The key in a kit's file, or in its words alone (any white space, any case). Raises IntegrityError."""
    plain = _plain(text)
    if re.fullmatch(r"[A-Za-z]+( [A-Za-z]+){23}", plain):
        return _from_words(plain.lower())
    found = _FILE.fullmatch(plain)
    if found is None:
        raise IntegrityError("this is no recovery kit, or a damaged one", "give the whole file, or its 24 words alone")
    if _checksum(plain[: found.start("checksum") - len(" checksum: ")]) != found["checksum"]:
        raise IntegrityError("the recovery kit is damaged: its checksum does not match", _AGAIN)
    return _from_words(found["words"])


def _from_words(words: str) -> PrivateKey:
    from mnemonic import Mnemonic

    book = Mnemonic("english")
    known = frozenset(book.wordlist)
    for number, word in enumerate(words.split(" "), start=1):
        if word not in known:
            # Not the word itself: all but a letter of it is secret.
            raise IntegrityError(f"the recovery kit is damaged: word {number} is not in the list of words", _AGAIN)
    try:
        return PrivateKey(bytes(book.to_entropy(words)))
    except ValueError:
        raise IntegrityError(
            "the recovery kit is damaged: a word is wrong, or two have changed places", _AGAIN
        ) from None


def _plain(text: str) -> str:
    # Only what e-mail and editors do; any other control character is damage, and stays.
    return re.sub(r"[ \t\r\n]+", " ", text).strip(" ")


def _checksum(plain: str) -> str:
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()[:_CHECKSUM]
