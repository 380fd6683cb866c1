"""Is a field that belongs to one connection neither stored nor passed on?

Of such fields the suite only asks whether the answer was cached. Transfer-Encoding stands apart: an unknown
coding is refused, and the known one is framing.
"""

from __future__ import annotations

import pytest

from tests.origin import Origin, head
from tests.running import Leeward

FRESH = ("Cache-Control", "max-age=60")
NAMES = [
    *("Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authentication-Info"),
    *("Proxy-Authorization", "Proxy-Connection", "TE", "Trailer", "Upgrade"),
]


def given(name: str) -> str:
    # Anything for Connection that is not itself a field of the answer.
    return "timeout=5" if name == "Keep-Alive" else "canary"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("spelled", [str, str.lower, str.upper])
def test_it_is_neither_passed_on_nor_stored(cache: Leeward, origin: Origin, path: str, name, spelled) -> None:
    origin.on(path).reply(200, b"x", [FRESH, (spelled(name), given(name)), ("Kept", "1")])
    for number in range(3):
        answer = cache.get(path)
        assert given(name) not in answer.headers(name)
        assert answer.headers("Kept") == ["1"]
        assert ("hit" in (answer.header("Cache-Status") or "")) is (number > 0)
    assert origin.count(path) == 1


@pytest.mark.parametrize("lines", [["a, B"], ["A", "b"], ["close, a,b"], [" ,a,, b"]])
def test_what_connection_names_goes_with_it(cache: Leeward, origin: Origin, path: str, lines) -> None:
    named = [("Connection", line) for line in lines]
    origin.on(path).reply(200, b"x", [FRESH, *named, ("A", "1"), ("b", "2"), ("C", "3")])
    for _ in range(2):
        answer = cache.get(path)
        assert (answer.headers("a"), answer.headers("b"), answer.headers("c")) == ([], [], ["3"])


@pytest.mark.parametrize("named", ["content-length", "cache-control", "etag", "vary", "age", "set-cookie"])
def test_naming_a_field_does_not_change_what_the_cache_makes_of_the_answer(
    cache: Leeward, origin: Origin, path: str, named: str
) -> None:
    """A field that is dropped in passing is not obeyed either, and framing is nobody's to drop."""
    fields = [
        ("Cache-Control", "max-age=60"),
        ("ETag", '"1"'),
        ("Connection", named),
        ("Content-Length", "1"),
    ]
    origin.on(path).raw(head(200, fields) + b"x")
    answers = [cache.get(path) for _ in range(2)]
    assert [answer.body for answer in answers] == [b"x", b"x"]
    assert (origin.count(path) == 1) is (named != "cache-control")


@pytest.mark.parametrize("coding", ["gzip", "identity", "canary", "chunked, gzip"])
def test_an_unknown_transfer_coding_is_refused_and_nothing_of_it_kept(
    cache: Leeward, origin: Origin, path: str, coding: str
) -> None:
    origin.on(path).raw(head(200, [FRESH, ("Transfer-Encoding", coding)]) + b"x", then="close").reply(
        200, b"ok"
    )
    assert cache.get(path).status == 502
    assert cache.get(path).body == b"ok"


def test_a_304_does_not_bring_them_in(cache: Leeward, origin: Origin, path: str) -> None:
    stale = [("Cache-Control", "max-age=60"), ("Age", "90"), ("ETag", '"1"')]
    news = [
        ("Cache-Control", "max-age=60"),
        ("Connection", "a"),
        ("A", "1"),
        ("Keep-Alive", "timeout=5"),
        ("B", "2"),
    ]
    origin.on(path).reply(200, b"x", stale).reply(304, headers=news)
    for _ in range(3):
        answer = cache.get(path)
    assert (answer.body, answer.headers("a"), answer.headers("b")) == (b"x", [], ["2"])
    assert answer.headers("keep-alive") == []
    assert origin.count(path) == 2
