from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.auth.placing import (
    AUTHORIZATION,
    field_value,
    parameter,
    revealed,
    with_field,
    with_parameter,
    without,
    without_parameters,
)
from proxy.core.failure import CredentialError
from tests.auth.planted import CANARY, Planted, request


@pytest.mark.parametrize("value", ["a\rb", "a\nb", "a\r\nX-Evil: 1", "a\0b", "a\tb", "a\x7fb", "a\x1bb"])
def test_a_value_that_could_end_a_line_is_refused(value: str) -> None:
    with pytest.raises(CredentialError) as told:
        revealed(Planted(value))
    assert value not in str(told.value)
    assert "env PLANTED" in told.value.detail


def test_no_value_is_refused_where_one_is_needed() -> None:
    with pytest.raises(CredentialError, match="empty"):
        revealed(Planted(""))
    assert revealed(Planted(""), empty=True) == ""


@pytest.mark.parametrize("value", ["κλειδί", "鍵", "a\u20ac", "\ud800abc", " lead", "trail "])
def test_a_field_carries_latin_1_without_outer_space(value: str) -> None:
    with pytest.raises(CredentialError) as told:
        field_value(value, Planted(value))
    assert value.strip() not in str(told.value)
    # Nor does the error that was behind it come along: it holds the value.
    assert told.value.__cause__ is None
    assert told.value.__suppress_context__ or told.value.__context__ is None


def test_a_latin_1_value_is_one_byte_a_character() -> None:
    assert field_value("clé", Planted()) == b"cl\xe9"


@pytest.mark.parametrize("twin", ["x-api-key", "X-API-KEY", "x_api_key", "X_Api-Key"])
def test_all_spellings_of_a_field_go(twin: str) -> None:
    before = request(("Accept", "a"), (twin, "callers"), (twin.upper(), "again"))
    after = with_field(before, b"X-Api-Key", b"ours", frozenset({"x-api-key"}))
    assert list(after.headers) == [("accept", "a"), ("x-api-key", "ours")]
    assert (after.method, after.target, after.host, after.body) == (
        before.method,
        before.target,
        before.host,
        before.body,
    )


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/a", "/a?key=v"),
        ("/a?", "/a?key=v"),
        ("/a?x=1", "/a?x=1&key=v"),
        ("/a?x=1&", "/a?x=1&key=v"),
        ("/a?key=1", "/a?key=v"),
        ("/a?key", "/a?key=v"),
        ("/a?key=1&x=%2f+%C3&key=2&&y", "/a?x=%2f+%C3&&y&key=v"),
        ("/a?%6bey=1&k%65y=2&x", "/a?x&key=v"),
        ("/a?Key=1&keys=2&mykey=3", "/a?Key=1&keys=2&mykey=3&key=v"),
        ("/a?x=key=1", "/a?x=key=1&key=v"),
        ("/key=1?x=%zz", "/key=1?x=%zz&key=v"),
        ("/a?x?key=1&y=?", "/a?x?key=1&y=?&key=v"),
        ("/a?\xff=1", "/a?\xff=1&key=v"),
    ],
)
def test_a_parameter_replaces_its_twins_and_touches_no_other(target: str, expected: str) -> None:
    assert with_parameter(request(target=target), "key", "v", AUTHORIZATION).target == expected


def test_a_parameter_is_percent_encoded() -> None:
    after = with_parameter(request(target="/a"), "api key", "a&b=c+d/é", AUTHORIZATION)
    assert after.target == "/a?api%20key=a%26b%3Dc%2Bd%2F%C3%A9"
    twin = with_parameter(request(target="/a?api+key=1&api%20key=2&z"), "api key", "v", AUTHORIZATION)
    assert twin.target == "/a?z&api%20key=v"


def test_a_parameter_takes_the_callers_authorization_along() -> None:
    after = with_parameter(request(("AUTHORIZATION", "x"), ("A", "b")), "key", "v", AUTHORIZATION)
    assert list(after.headers) == [("a", "b")]


def test_a_value_without_utf_8_is_refused() -> None:
    with pytest.raises(CredentialError) as told:
        with_parameter(request(), "key", CANARY + "\ud800", AUTHORIZATION)
    assert CANARY not in str(told.value)
    assert told.value.__suppress_context__


_PIECES = st.text("ab=%6bkey+2&?", max_size=30)


@given(_PIECES)
def test_other_parameters_stay_byte_for_byte(query: str) -> None:
    target = with_parameter(request(target=f"/p?{query}"), "key", "v", AUTHORIZATION).target
    kept, joint, ours = target.removeprefix("/p?").rpartition("key=v")
    assert (joint, ours) == ("key=v", "")
    # What is left are the caller's pieces in their order, less those of our name.
    left = kept[:-1].split("&") if kept else []
    given_pieces = iter(query.split("&"))
    assert all(any(piece == other for other in given_pieces) for piece in left if piece)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/a?b=1&sig=x&c", "/a?b=1&c"),
        ("/a?s%69g=x", "/a"),
        ("/a?SIG=x&b+c=1", "/a?SIG=x"),
        ("/a", "/a"),
        ("/a?", "/a?"),
    ],
)
def test_the_callers_parameters_go_by_their_decoded_names(target: str, expected: str) -> None:
    assert without_parameters(request(target=target), ["sig", "b c"]).target == expected


def test_the_value_of_a_parameter_is_the_last_one_s_decoded() -> None:
    asked = request(target="/a?key=1&k%65y=a%2Fb%20c&other=2")
    assert parameter(asked, "key") == "a/b c"
    assert parameter(asked, "missing") == ""


def test_fields_go_however_they_are_spelled() -> None:
    asked = request(("X_A", "1"), ("x-a", "2"), ("X-B", "3"))
    assert list(without(asked, frozenset({"x-a"})).headers) == [("x-b", "3")]
    assert without(asked, frozenset({"x-c"})) is asked
