from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from proxy.core.dialect import (
    MOST_READ,
    PLAIN,
    Answer,
    Dialect,
    Place,
    Row,
    Source,
    decoded,
    first,
    heard,
    parsed,
    values,
)
from proxy.core.message import Headers

NONE = Headers()


def of(document: Any, *fields: tuple[str, str]) -> Answer:
    return heard(400, Headers.of(*fields), json.dumps(document).encode())


@pytest.mark.parametrize(
    ("written", "source", "steps"),
    [
        ("error.code", Source.BODY, ("error", "code")),
        ("errors.*.message", Source.BODY, ("errors", "*", "message")),
        ("header:X-Request-Id", Source.FIELD, ("x-request-id",)),
        ("xml:Code", Source.XML, ("Code",)),
    ],
)
def test_a_place_is_read(written: str, source: Source, steps: tuple[str, ...]) -> None:
    place = Place.of(written)
    assert (place.source, place.steps) == (source, steps)
    assert str(place).lower() == written.lower()


@pytest.mark.parametrize("written", ["", ".", "a..b", "header:", "header:a b", "body:x", "xml:<a>", "a."])
def test_what_is_no_place_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is no place in an answer"):
        Place.of(written)


@pytest.mark.parametrize(
    ("written", "document", "found"),
    [
        ("error.code", {"error": {"code": "x"}}, ["x"]),
        ("code", {"code": 20429}, ["20429"]),
        ("ok", {"ok": False}, ["false"]),
        ("error", {"error": {"code": "x"}}, []),
        ("error", {"error": None}, []),
        ("error", {"error": ""}, []),
        ("errors.1.m", {"errors": [{"m": "a"}, {"m": "b"}]}, ["b"]),
        ("errors.9.m", {"errors": [{"m": "a"}]}, []),
        ("errors.*.m", {"errors": [{"m": "a"}, {"n": 1}, {"m": "b"}]}, ["a", "b"]),
        ("errors.*", {"errors": {"x": "a", "y": "b"}}, ["a", "b"]),
        ("a.b", [1, 2], []),
        ("a", "text", []),
        ("0.m", [{"m": "a"}], ["a"]),
    ],
)
def test_what_stands_there_is_found(written: str, document: Any, found: list[str]) -> None:
    assert list(values((Place.of(written),), of(document))) == found


def test_places_are_tried_in_order() -> None:
    places = tuple(map(Place.of, ("header:x-id", "id", "other")))
    assert first(places, of({"id": " ", "other": "o"})) == "o"
    assert first(places, of({"id": "i"}, ("X-Id", "h"))) == "h"
    assert first(places, of({})) is None


def test_a_wild_list_is_not_walked_without_end() -> None:
    assert len(list(values((Place.of("*"),), of(list(range(5000)))))) == 50


XML = """<?xml version="1.0"?>
<ErrorResponse xmlns="http://a/b"><Error><Type>Sender</Type><Code>Throttling</Code>
<s:Message a="1"> Rate &lt;exceeded&gt; &amp; more </s:Message></Error>
<RequestId>r-1</RequestId></ErrorResponse>"""


@pytest.mark.parametrize(
    ("name", "found"),
    [("Code", "Throttling"), ("Message", "Rate <exceeded> & more"), ("RequestId", "r-1"), ("Nothing", None)],
)
def test_an_element_is_found_wherever_it_stands(name: str, found: str | None) -> None:
    assert first((Place.of(f"xml:{name}"),), heard(400, NONE, XML.encode())) == found
    assert first((Place.of(f"xml:{name}"),), heard(400, NONE, b'{"x": "<Code>no</Code>"}')) is None


def test_an_answer_is_read_to_its_bound_and_no_further() -> None:
    body = json.dumps({"error": "x" * MOST_READ}).encode()
    assert heard(500, NONE, body).document is None
    coded = heard(500, Headers.of(("Content-Encoding", "gzip")), gzip.compress(b'{"error": "x"}'))
    assert coded.document == {"error": "x"}
    assert heard(500, Headers.of(("Content-Encoding", "br")), b"???").text == ""
    assert len(decoded(gzip.compress(bytes(10_000_000)), "gzip", 1000)) == 1000


@pytest.mark.parametrize("text", ["", "NaN", "{", "[" * 100_000, '{"a": Infinity}'])
def test_what_is_no_json_says_nothing(text: str) -> None:
    assert parsed(text) is None


def test_only_what_may_be_a_failure_is_doubted() -> None:
    row = Row(statuses=frozenset({200}), path="*/graphql.json")
    dialect = Dialect(rows=(row, Row(statuses=frozenset({403}))))
    assert dialect.doubts(200, "/admin/graphql.json")
    assert not dialect.doubts(200, "/admin/shop.json")
    assert not dialect.doubts(201, "/admin/graphql.json")
    assert not PLAIN.doubts(200, "/")
