"""Does the cache do what only the suite's current edition asks for? In our own cases, on the real process.

An answer is old when it comes, where its age matters, so nothing here waits for time to pass.
"""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from tests.origin import Gate, Origin, head
from tests.running import Leeward

Pair = tuple[str, str]
CDN = "CDN-Cache-Control"
OURS = "Leeward-Cache-Control"
GONE = formatdate(1_000_000_000, usegmt=True)


def cc(value: str) -> Pair:
    return ("Cache-Control", value)


def in_(seconds: float) -> str:
    return formatdate(time.time() + seconds, usegmt=True)


def reused(cache: Leeward, origin: Origin, path: str, *fields: Pair, status: int = 200) -> bool:
    """Whether a second request is answered from what the first one brought."""
    origin.on(path).reply(status, b"one", fields).reply(status, b"two", fields)
    before = origin.count(path)
    first, second = cache.get(path), cache.get(path)
    assert (first.status, first.body) == (status, b"one")
    assert second.body == (b"one" if origin.count(path) == before + 1 else b"two")
    return second.body == b"one"


# RFC 9213: what is addressed to shared caches, or to us, is all that counts, as long as it can be read.
@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ([(CDN, "max-age=60")], True),
        ([(CDN, "max-age=2147483648")], True),
        ([(CDN, "max-age=99999999999")], True),
        ([(CDN, "unheard-of, max-age=60")], True),
        ([(CDN, "max-age=60"), ("Expires", GONE)], True),
        ([(CDN, "max-age=60"), ("Expires", "0")], True),
        ([(CDN, "max-age=60"), cc("max-age=1"), ("Age", "30")], True),
        ([(CDN, "max-age=60"), cc("no-store")], True),
        ([(CDN, "max-age=60"), cc("private")], True),
        ([(OURS, "max-age=60"), (CDN, "no-store")], True),
        ([(CDN, "max-age=60"), ("Age", "90")], False),
        ([(CDN, "max-age=0")], False),
        ([(CDN, "max-age=0"), ("Expires", "IN A MINUTE")], False),
        ([(CDN, "max-age=1"), cc("max-age=60"), ("Age", "30")], False),
        ([(CDN, "no-store"), cc("max-age=60")], False),
        ([(CDN, "no-cache"), cc("max-age=60")], False),
        ([(CDN, "private"), cc("max-age=60")], False),
        ([(OURS, "no-store"), (CDN, "max-age=60")], False),
        ([(CDN, "max-age=60, &&&"), cc("no-store")], False),
        ([(CDN, "max-age =60"), cc("no-store")], False),
        ([(CDN, "MAX-AGE=60"), cc("no-store")], False),
        ([(CDN, 'max-age="60"'), cc("no-store")], False),
        ([(CDN, "max-age=60, &&&"), cc("max-age=60")], True),
    ],
)
def test_targeted_fields(cache: Leeward, origin: Origin, path: str, fields: list[Pair], answer: bool) -> None:
    given = [(name, in_(60) if value == "IN A MINUTE" else value) for name, value in fields]
    assert reused(cache, origin, path, *given) is answer


def test_a_targeted_field_is_passed_on_with_all_others(cache: Leeward, origin: Origin, path: str) -> None:
    expires = in_(1)
    fields = [(CDN, "max-age=60"), cc("max-age=1"), ("Expires", expires), ("Date", in_(0))]
    origin.on(path).reply(200, b"x", fields)
    for _ in range(2):
        answer = cache.get(path)
        for name, value in fields:
            assert answer.headers(name) == [value]
    assert answer.header("Age") is not None


# What comes before the answer is passed on at once, and is no part of what is stored.
@pytest.mark.parametrize("status", [102, 103])
def test_interim_answers(cache: Leeward, origin: Origin, path: str, status: int) -> None:
    gate = Gate()
    hint = head(status, [("Link", "</a.css>"), ("X-Hint", "1"), ("Connection", "x-b"), ("X-B", "1")])
    final = head(200, [cc("max-age=60"), ("Content-Length", "2")]) + b"ok"
    origin.on(path).raw(hint, gate, final)
    with cache.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()) as wire:
        while b"\r\n\r\n" not in wire.buffer:
            assert wire._fill()
        early = bytes(wire.buffer)
        assert early.startswith(f"HTTP/1.1 {status} ".encode())
        assert (b"Link: </a.css>\r\n" in early, b"-B" in early) == (True, False)
        gate.open()
        answer = wire.read()
    assert (answer.status, answer.informational, answer.header("X-Hint")) == (200, [status], None)
    again = cache.get(path)
    assert (again.body, again.informational, again.header("X-Hint")) == (b"ok", [], None)
    assert origin.count(path) == 1


@pytest.mark.parametrize(
    ("status", "value", "answer"),
    [
        (200, "max-age=60, no-store, must-understand", True),
        (404, "max-age=60, no-store, must-understand", True),
        (599, "max-age=60, no-store, must-understand", False),
        (599, "max-age=60, must-understand", False),
        (599, "max-age=60", True),
        (200, "max-age=60, no-store", False),
    ],
)
def test_must_understand(
    cache: Leeward, origin: Origin, path: str, status: int, value: str, answer: bool
) -> None:
    assert reused(cache, origin, path, cc(value), status=status) is answer


def test_stale_while_revalidate(cache: Leeward, origin: Origin, path: str) -> None:
    stale = [cc("max-age=60, stale-while-revalidate=60"), ("Age", "90"), ("ETag", '"1"')]
    origin.on(path).reply(200, b"one", stale).reply(200, b"two", [cc("max-age=60")])
    assert cache.get(path).body == b"one"
    served = cache.get(path)
    assert (served.body, "stale-while-revalidate" in (served.header("Cache-Status") or "")) == (b"one", True)
    assert origin.wait_for(path, 2)[-1].header("if-none-match") == '"1"'


def test_stale_while_revalidate_ends(cache: Leeward, origin: Origin, path: str) -> None:
    late = [cc("max-age=60, stale-while-revalidate=60"), ("Age", "120"), ("ETag", '"1"')]
    assert not reused(cache, origin, path, *late)


@pytest.mark.parametrize("value", ["no-store", "no-store, max-age=0"])
def test_what_is_not_stored_does_not_bring_back_what_was(
    cache: Leeward, origin: Origin, path: str, value: str
) -> None:
    old = [cc("max-age=60"), ("Age", "90"), ("ETag", '"1"')]
    origin.on(path).reply(200, b"old", old).reply(200, b"new", [cc(value)]).reply(200, b"newer")
    assert [cache.get(path).body for _ in range(3)] == [b"old", b"new", b"newer"]


# RFC 9111 §5.1: of several values the first counts; one that is no number of seconds is ignored.
@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        (["abc"], True),
        (["-7200"], True),
        (["7200.0"], True),
        (["0, 0"], True),
        (["0", "0"], True),
        (["0, 7200"], True),
        (["0", "7200"], True),
        (["7200, 0"], False),
        (["7200", "0"], False),
        (["2147483647"], False),
        (["2147483648"], False),
        (["2147483649"], False),
        (["99999999999999999999"], False),
    ],
)
def test_age(cache: Leeward, origin: Origin, path: str, lines: list[str], answer: bool) -> None:
    assert reused(cache, origin, path, cc("max-age=3600"), *(("Age", line) for line in lines)) is answer


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ("Tue, 19 Jan 2038 14:14:08 GMT", True),
        ("Sun, 21 Nov 2286 04:46:39 GMT", True),
        ("Thursday, 18-Aug-50 02:01:18 GMT", True),
        ("Thu Aug  8 02:01:18 2050", True),
        ("THU, 18 AUG 2050 02:01:18 gMT", True),
        ("Thu, 18 Aug 2050 02:01:18 UTC", False),
        ("Thu, 18 Aug 2050 02:01:18 AEST", False),
        ("Thu, 18 Aug 2050 02:01:18 +0000", False),
        ("Thu, 18 Aug 50 02:01:18 GMT", False),
        ("Thu 18 Aug 2050 02:01:18 GMT", False),
        ("Thu, 18  Aug  2050 02:01:18 GMT", False),
        ("Thu, 18-Aug-2050 02:01:18 GMT", False),
        ("Thu, 18 Aug 2050 02.01.18 GMT", False),
        ("Thu, 18 Aug 2050 2:01:18 GMT", False),
        ("2050-08-18T02:01:18Z", False),
        ("0", False),
    ],
)
def test_expires(cache: Leeward, origin: Origin, path: str, value: str, answer: bool) -> None:
    assert reused(cache, origin, path, ("Expires", value), ("Date", in_(0))) is answer


def test_two_expires_are_none(cache: Leeward, origin: Origin, path: str) -> None:
    assert not reused(cache, origin, path, ("Expires", in_(60)), ("Expires", in_(90)), ("Date", in_(0)))


@pytest.mark.parametrize(
    ("lifetime", "answer"),
    [("max-age", True), ("expires", True), ("neither", False)],
)
def test_a_date_is_never_changed(
    cache: Leeward, origin: Origin, path: str, lifetime: str, answer: bool
) -> None:
    date = in_(-30)
    said = {"max-age": [cc("max-age=600")], "expires": [("Expires", in_(600))], "neither": []}[lifetime]
    origin.on(path).reply(200, b"x", [("Date", date), *said])
    assert [cache.get(path).headers("Date") for _ in range(2)] == [[date], [date]]
    assert (origin.count(path) == 1) is answer


def test_an_origin_that_is_gone(cache: Leeward, origin: Origin, path: str) -> None:
    for number, (more, status) in enumerate(
        [("", 200), (", must-revalidate", 502), (", proxy-revalidate", 502), (", s-maxage=60", 502)]
    ):
        place = f"{path}-{number}"
        origin.on(place).reply(200, b"stored", [cc(f"max-age=60{more}"), ("Age", "90")]).drop()
        cache.get(place)
        assert cache.get(place).status == status
