from __future__ import annotations

import base64
import copy
import json
import pickle
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.auth.veil import MASK, SHORTEST, Veil, spellings
from tests.auth.planted import CANARY, SALT


def veil(*values: str) -> Veil:
    made = Veil("bearer", SALT)
    for value in values:
        made.hide(value)
    return made


@pytest.mark.parametrize(
    "spelled",
    [
        CANARY,
        quote(CANARY, safe=""),
        quote(CANARY, safe="").lower().replace(CANARY.lower(), ""),
        quote(CANARY),
        json.dumps('"' + CANARY)[3:-1],
        CANARY.replace("/", "\\/"),
        base64.b64encode(CANARY.encode()).decode(),
        base64.b64encode(CANARY.encode()).decode().rstrip("="),
        base64.urlsafe_b64encode(CANARY.encode()).decode(),
        CANARY.replace("+", "\\u002B"),
    ],
)
def test_every_spelling_is_masked(spelled: str) -> None:
    if spelled.islower():  # percent-encoding with small hex digits, the rest as it was
        spelled = CANARY.replace("/", "%2f").replace("+", "%2b").replace("=", "%3d")
    assert veil(CANARY).mask(f"before {spelled} after") == f"before {MASK} after"


def test_quotes_and_backslashes_are_found_in_json() -> None:
    value = 'with "quotes" and \\ and é'
    for text in (json.dumps({"a": value}), json.dumps({"a": value}, ensure_ascii=False), repr(value)):
        masked = veil(value).mask(text)
        assert MASK in masked
        assert "quotes" not in masked


@pytest.mark.parametrize("before", ["", "u", "us", "user:", "a:b"])
@pytest.mark.parametrize("after", ["", "x", ":xy", "\n"])
def test_inside_the_base64_of_something_longer_hardly_a_bit_is_left(before: str, after: str) -> None:
    text = base64.b64encode(f"{before}{CANARY}{after}".encode()).decode()
    masked = veil(CANARY).mask(text)
    assert MASK in masked
    assert len(masked) - len(MASK) <= len(text) - len(CANARY)


@given(st.text(st.characters(codec="utf-8"), min_size=SHORTEST, max_size=60), st.text(max_size=20))
def test_a_value_never_survives(value: str, around: str) -> None:
    masked = veil(value).mask(f"{around}{value}{around}")
    # What is left may only hold it if the mask itself or the surroundings spell it.
    assert value not in masked or value in f"{around}{MASK}{around}" or value in around + MASK


@pytest.mark.parametrize("value", ["", "a", "abc"])
def test_what_is_too_short_corrupts_no_text(value: str) -> None:
    assert veil(value).mask("abc abc: a plain text") == "abc abc: a plain text"


def test_without_values_a_text_is_itself() -> None:
    assert veil().mask("text") == "text"


def test_the_whole_of_one_value_goes_before_a_part_that_is_another() -> None:
    assert veil("part-of-it", "the part-of-it all").mask("the part-of-it all") == MASK
    assert "abc def/ghi" in spellings("abc def/ghi")


def test_a_rotated_value_stays_hidden_for_a_while() -> None:
    kept = veil("first-value", "second-value", "third-value")
    assert kept.mask("first-value third-value") == f"{MASK} {MASK}"
    for number in range(20):
        kept.hide(f"later-value-{number}")
    assert kept.mask("first-value") == "first-value"
    assert kept.mask("later-value-19") == MASK


def test_what_is_hidden_again_and_again_is_never_forgotten_for_what_comes_and_goes() -> None:
    kept = veil()
    for number in range(30):
        kept.hide("the-lasting-one")
        kept.hide(f"passing-value-{number}")
        assert kept.mask("the-lasting-one") == MASK


def test_equal_values_have_one_identity_and_others_another() -> None:
    one, two = Veil("bearer", SALT), Veil("bearer", SALT)
    assert one.identity("abcd") == two.identity("abcd")
    assert one.identity("abcd") != one.identity("abce")
    assert one.identity("ab", "cd") != one.identity("abc", "d")
    assert one.identity("abcd") == two.identity("abcd")


def test_scheme_and_salt_are_part_of_the_identity() -> None:
    here = Veil("bearer", SALT).identity("abcd")
    assert here.startswith("bearer:")
    assert Veil("query", SALT).identity("abcd").partition(":")[2] != here.partition(":")[2]
    assert Veil("bearer", SALT[::-1]).identity("abcd") != here


@pytest.mark.parametrize("salt", [b"", b"short", bytes(65)])
def test_a_salt_has_a_sensible_length(salt: bytes) -> None:
    with pytest.raises(ValueError, match="16 to 64"):
        Veil("bearer", salt)


def test_it_shows_and_pickles_nothing() -> None:
    kept = veil(CANARY)
    kept.identity(CANARY)
    assert CANARY not in repr(kept)
    for refused in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            refused(kept)
