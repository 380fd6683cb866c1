from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.dialect import Dialect, Place
from proxy.core.failure import BadRequestError
from proxy.core.forwarding import (
    HOP_BY_HOP,
    MOST_HOPS,
    callers_id,
    end_to_end,
    forward,
    hops,
    listed,
    refuse_circles,
)
from proxy.core.message import Headers, Request, Whole
from proxy.core.routing import Route
from tests.core.test_routing import NoCredential, route

PLAIN = route("up", "/up")
BEARER: Route = replace(PLAIN, injector=NoCredential(replaced=frozenset({"authorization"})))


def passed(headers, to=PLAIN, **rest):
    request = Request(method="GET", target="/up/x", headers=headers, body=Whole(), host="me:1")
    return forward(request, to, "/x", request_id="ID", traceparent="TP", **rest)


def kept(headers, to=PLAIN, **rest):
    ours = {"via", "x-request-id", "traceparent"}
    return [pair for pair in passed(headers, to, **rest).headers if pair[0] not in ours]


def test_the_rest_passes_byte_for_byte_in_order():
    raw = [(b"X-B", b"1"), (b"x-a", b"\xff"), (b"X-B", b"2"), (b"Accept", b"*/*")]
    onward = passed(Headers(raw))
    assert list(onward.headers.fields[:4]) == raw
    assert (onward.target, onward.method, onward.host) == ("/x", "GET", "me:1")


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
def test_hop_by_hop_fields_are_dropped_both_ways(name):
    assert kept(Headers.of((name.title(), "x"), ("A", "b"))) == [("a", "b")]
    assert list(end_to_end(Headers.of((name.title(), "x"), ("A", "b")))) == [("a", "b")]


@pytest.mark.parametrize(
    "name",
    ["Host", "Content-Length", "Expect", "Leeward-Token", "X-Forwarded-For", "X-Forwarded-Host", "Forwarded"],
)
def test_what_is_ours_to_write_is_not_copied(name):
    assert kept(Headers.of((name, "x"))) == []


@pytest.mark.parametrize(
    ("accepted", "onward"),
    [
        ("gzip, deflate", "gzip, deflate"),
        ("br, gzip;q=0.8, zstd, *;q=0.1", "gzip;q=0.8"),
        ("gzip, compress, deflate, br", "gzip, deflate"),
        ("X-GZIP;Q=0.5 ,Identity", "X-GZIP;Q=0.5, Identity"),
        ("br", "identity"),
        ("*", "identity"),
        ("", "identity"),
    ],
)
def test_where_failures_are_read_nothing_is_accepted_in_which_they_could_not_be(accepted, onward):
    spoken = replace(PLAIN, dialect=Dialect(code=(Place.of("error.code"),)))
    headers = Headers.of(("Accept-Encoding", accepted))
    assert kept(headers, spoken) == [("accept-encoding", onward)]
    assert kept(headers) == [("accept-encoding", accepted)]
    assert kept(Headers(), spoken) == []


def test_fields_that_connection_lists_are_dropped_over_all_its_lines():
    headers = Headers.of(
        ("Connection", "close, X-A ,"), ("connection", "x-b"), ("X-A", "1"), ("X-B", "2"), ("C", "3")
    )
    assert listed(headers) == {"close", "x-a", "x-b"}
    assert kept(headers) == [("c", "3")]
    assert list(end_to_end(headers)) == [("c", "3")]


def test_a_content_length_cannot_be_talked_away():
    headers = Headers.of(("Connection", "content-length"), ("Content-Length", "3"))
    assert end_to_end(headers).get("content-length") == "3"


@pytest.mark.parametrize("name", ["Authorization", "AUTHORIZATION", "authorization"])
def test_the_caller_s_credential_goes_where_one_is_injected(name):
    headers = Headers.of((name, "Bearer theirs"), ("A", "b"))
    assert kept(headers, BEARER) == [("a", "b")]
    assert ("authorization", "Bearer theirs") in kept(headers, PLAIN)


def test_an_underscore_twin_goes_too():
    to = replace(PLAIN, injector=NoCredential(replaced=frozenset({"x-api-key"})))
    assert kept(Headers.of(("X_Api_Key", "theirs"), ("x-api_key", "theirs")), to) == []


def test_connection_cannot_strip_what_is_set_by_the_operator():
    to = replace(PLAIN, set_headers=(("X-Set", "yes"),))
    headers = Headers.of(("Connection", "x-set, via, x-request-id"), ("X-Set", "no"))
    onward = passed(headers, to).headers
    assert onward.all("x-set") == ["yes"]
    assert onward.all("via") == ["1.1 leeward"]
    assert onward.all("x-request-id") == ["ID"]


def test_set_replaces_and_remove_removes():
    to = replace(PLAIN, set_headers=(("Accept", "a"),), remove_headers=frozenset({"cookie"}))
    assert kept(Headers.of(("accept", "b"), ("Cookie", "c"), ("D", "e")), to) == [("d", "e"), ("accept", "a")]


def test_ids_are_kept_once_or_made():
    assert passed(Headers()).headers.all("x-request-id") == ["ID"]
    assert passed(Headers()).headers.all("traceparent") == ["TP"]
    twice = Headers.of(
        ("X-Request-Id", "ID"), ("X-Request-Id", "ID"), ("X-Request-Id", "other"), ("Traceparent", "T")
    )
    assert passed(twice).headers.all("x-request-id") == ["ID"]
    assert passed(twice).headers.all("traceparent") == ["T"]


def test_via_is_added_to_the_chain():
    assert passed(Headers.of(("Via", "1.0 fred"))).headers.all("via") == ["1.0 fred", "1.1 leeward"]


def test_forwarded_fields_only_where_wanted():
    to = replace(PLAIN, forwarded=True)
    headers = passed(
        Headers.of(("X-Forwarded-For", "9.9.9.9"), ("X-Real-IP", "1.1.1.1")), to, caller="10.0.0.1"
    ).headers
    assert headers.all("x-forwarded-for") == ["9.9.9.9, 10.0.0.1"]
    assert headers.all("x-forwarded-proto") == ["http"]
    assert headers.all("x-forwarded-host") == ["me:1"]
    assert headers.all("forwarded") == ['for=10.0.0.1;proto=http;host="me:1"']
    assert "x-real-ip" not in headers
    six = passed(Headers.of(("Forwarded", "for=a")), to, caller="::1").headers
    assert six.all("forwarded") == ['for=a, for="[::1]";proto=http;host="me:1"']


@pytest.mark.parametrize(
    ("given_id", "taken"),
    [("abc-1", "abc-1"), ("", None), ("a b", None), ("x" * 129, None), ("a\x7f", None), ("\xe9", None)],
)
def test_a_caller_s_id_is_one_printable_word(given_id, taken):
    assert callers_id(Headers.of(("X-Request-Id", given_id))) == taken


@given(
    st.lists(st.sampled_from(["A", "Te", "Connection", "Authorization", "authorization", "Via"]), max_size=8)
)
def test_whatever_comes_no_listed_or_replaced_field_passes(names):
    headers = Headers.of(*((name, "a, te") for name in names))
    onward = passed(headers, BEARER).headers
    assert onward.names() <= {"a", "via", "x-request-id", "traceparent"}
    assert ("a" in onward) == ("A" in names and "Connection" not in names)


@pytest.mark.parametrize(
    ("lines", "passed"),
    [
        ([], 0),
        (["1.1 leeward"], 1),
        (["1.1 leeward, 1.0 fred", "1.1 leeward (x)"], 2),
        (["1.1 leewards"], 0),
        ([","], 0),
    ],
)
def test_how_often_it_came_by(lines, passed):
    headers = Headers.of(*(("Via", line) for line in lines))
    assert hops(headers) == passed
    refuse_circles(headers)


def test_a_circle_is_refused():
    with pytest.raises(BadRequestError, match="circle"):
        refuse_circles(Headers.of(("Via", ", ".join(["1.1 leeward"] * MOST_HOPS))))


def test_a_default_gives_way_to_the_caller_s_own_and_to_nothing_else():
    to = replace(
        PLAIN,
        set_headers=(("X-Set", "s"),),
        default_headers=(("Api-Version", "1"), ("X-Set", "d"), ("X-Gone", "d")),
        remove_headers=frozenset({"x-gone"}),
    )
    assert kept(Headers(), to) == [("x-set", "s"), ("api-version", "1")]
    assert kept(Headers.of(("api-version", "2")), to) == [("api-version", "2"), ("x-set", "s")]
    talked_away = Headers.of(("Connection", "api-version"), ("Api-Version", "2"))
    assert kept(talked_away, to) == [("x-set", "s"), ("api-version", "1")]


HANDSHAKE = Headers.of(
    ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "theirs"), ("Sec-WebSocket-Protocol", "a,b"), ("Sec-WebSocket-Extensions", "x; y"),
)  # fmt: skip


def handshake(to=PLAIN, *, switch=True):
    request = Request(method="GET", target="/up/x", headers=HANDSHAKE, body=Whole(), switch=switch)
    return forward(request, to, "/x", request_id="ID", traceparent="TP")


def test_a_handshake_passes_as_one_of_ours_without_its_key():
    onward = handshake()
    assert onward.switches
    assert [pair for pair in onward.headers if pair[0] not in {"via", "x-request-id", "traceparent"}] == [
        ("sec-websocket-protocol", "a,b"), ("sec-websocket-extensions", "x; y"),
        ("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13"),
    ]  # fmt: skip


def test_a_handshake_cannot_be_removed_by_configuration():
    to = replace(PLAIN, remove_headers=frozenset({"upgrade", "connection", "sec-websocket-protocol"}))
    names = [name for name, _ in handshake(to).headers]
    assert {"upgrade", "connection"} <= set(names)
    assert "sec-websocket-protocol" not in names


def test_what_was_not_found_to_be_a_handshake_passes_without_its_wish():
    onward = handshake(switch=False)
    assert not onward.switches
    assert "connection" not in onward.headers
