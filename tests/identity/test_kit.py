"""A kit that was kept is read back, however it was copied; a wrong one is noticed, and not quoted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibd.errors import IntegrityError
from bibd.identity.kit import RecoveryKit, read_key, to_words
from bibd.identity.wrap import PrivateKey
from tests.identity.damage import every_flip

SEEDS = st.binary(min_size=32, max_size=32)
KIT = RecoveryKit(PrivateKey(bytes(range(32))), "12D3KooWExample", "2026-01-31T12:00:00.000Z")
# The first vector of 256 bits in BIP-39's own list, and the last but one.
ZEROS = "abandon " * 23 + "art"
ONES = "zoo " * 23 + "vote"


@pytest.mark.parametrize(("seed", "words"), [(bytes(32), ZEROS), (b"\xff" * 32, ONES)])
def test_words_are_those_of_bip_39(seed: bytes, words: str) -> None:
    assert to_words(seed) == words
    assert read_key(words).seed == seed


@given(SEEDS)
def test_round_trip_of_words_and_of_the_file(seed: bytes) -> None:
    kit = RecoveryKit(PrivateKey(seed), "12D3KooWExample", "2026-01-31T12:00:00.000Z")
    assert read_key(kit.render()) == read_key(kit.words()) == kit.key


def test_white_space_and_case_may_have_changed() -> None:
    words = KIT.words()
    assert read_key("\r\n  " + words.upper().replace(" ", "\n\t") + "\n\n") == KIT.key
    mailed = KIT.render().replace("\n", "\r\n").replace("  ", " ")
    assert read_key(mailed) == KIT.key


def test_any_flipped_bit_of_the_file_is_detected() -> None:
    for at, damaged in every_flip(KIT.render().encode()):
        with pytest.raises(IntegrityError):
            read_key(damaged.decode("latin-1"))
            pytest.fail(f"byte {at}: {damaged!r}")


def test_a_wrong_word_or_two_changed_places_are_noticed_and_none_is_quoted() -> None:
    words = KIT.words().split()
    swapped = [words[1], words[0], *words[2:]]
    unknown = [*words[:4], "xyzzy", *words[5:]]
    with pytest.raises(IntegrityError, match="two have changed places"):
        read_key(" ".join(swapped))
    with pytest.raises(IntegrityError, match="word 5 is not in the list") as caught:
        read_key(" ".join(unknown))
    assert "xyzzy" not in str(caught.value)
    assert not set(words) & set(str(caught.value).replace(":", "").split()) - {"make", "list"}
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("text", ["", "abandon", "abandon " * 12, "abandon " * 25, KIT.render()[:200], "\x0b" + ZEROS])
def test_what_is_no_kit_is_named(text: str) -> None:
    with pytest.raises(IntegrityError, match="no recovery kit"):
        read_key(text)


def test_nothing_but_the_kit_itself_shows_the_secret() -> None:
    assert repr(KIT.key.seed) not in repr(KIT)
    assert KIT.words() not in repr(KIT)
