"""Is one word the reason everywhere: in Cache-Status, in the log, at the admin port and in `explain`?"""

from __future__ import annotations

import re
import time

import pytest

from proxy.core.reason import Reason
from tests.origin import PATIENCE, Gate
from tests.wire import request

FRESH = ("Cache-Control", "max-age=60")
STALE = ("Cache-Control", "max-age=0")
TAGGED = ("ETag", '"1"')
WHILE = ("Cache-Control", "max-age=0, stale-while-revalidate=60")


@pytest.fixture
def proxy(leeward, origin):
    upstream = {"base_url": origin.url, "errors": "annotate", "retry": {"attempts": 1}}
    posts = {"match": {"method": "POST"}, "cache": {"methods": ["POST"]}}
    upstreams = {
        "on": {**upstream, "cache": {"stale_if_error": "60s"}},
        "off": {**upstream, "cache": {"enabled": False}},
        "posts": {**upstream, "rules": [posts]},
    }
    return leeward({"log": {"format": "json"}, "upstreams": upstreams})


@pytest.fixture
def path(request):
    return "/" + re.sub(r"\W+", "-", request.node.name)


def said(answer):
    """The deciding word of Cache-Status: the finer one where there are two."""
    line = answer.header("Cache-Status") or ""
    members = dict(part.strip().partition("=")[::2] for part in line.split(";")[1:])
    return (
        "fresh" if "hit" in members and "detail" not in members else members.get("detail") or members["fwd"]
    )


def logged(proxy, answer):
    """(verdict, reason) of the answer's line in the log."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        for line in proxy.log_lines():
            if line.get("event") == "request" and line["id"] == answer.header("X-Request-Id"):
                return line["cache"], line["reason"]
    raise AssertionError("no line in the log")


def listed(proxy, answer):
    """The same at the admin port."""
    rows = proxy.admin_json("/api/v1/requests?limit=1000")["requests"]
    row = next(row for row in rows if row["id"] == answer.header("X-Request-Id"))
    return row["cache"], row["reason"]


def foretold(proxy, method, target):
    told = proxy.admin_json(f"/api/v1/explain?method={method}&path={target}")["cache"]
    return told["reason"]


# What is answered first, what is answered then, and what the second call is told.
@pytest.mark.parametrize(
    ("upstream", "first", "then", "verdict", "reason"),
    [
        ("on", [FRESH], (200,), "hit", Reason.FRESH),
        ("on", [STALE, TAGGED], (304, b"", [TAGGED]), "revalidated", Reason.EXPIRED),
        ("on", [("Cache-Control", "no-cache"), TAGGED], (304, b"", [TAGGED]), "revalidated", Reason.NO_CACHE),
        ("on", [STALE, TAGGED], (200, b"", [FRESH]), "miss", Reason.EXPIRED),
        ("on", [FRESH, ("Vary", "X-Request-Id")], (200, b"", [FRESH]), "miss", Reason.VARY_MISS),
        ("on", [WHILE], (200,), "stale", Reason.WHILE_REVALIDATE),
        ("off", [FRESH], (200,), "bypass", Reason.CACHE_OFF),
    ],
)
def test_what_explain_foretells_is_what_is_told(proxy, origin, path, upstream, first, then, verdict, reason):
    origin.on(path).reply(200, b"x", first).reply(*then)
    target = f"/{upstream}{path}"
    assert proxy.get(target).status == 200
    assert foretold(proxy, "GET", target) == reason
    answer = proxy.get(target)
    assert said(answer) == reason
    assert logged(proxy, answer) == listed(proxy, answer) == (verdict, reason)


# What only the answer decides, or the request's own fields do.
@pytest.mark.parametrize(
    ("fields", "first", "then", "verdict", "reason"),
    [
        ([], [], (200, b"", [("Cache-Control", "no-store")]), "miss", Reason.NO_STORE),
        ([], [], (200, b"", [FRESH, ("Set-Cookie", "a=b")]), "miss", Reason.SET_COOKIE),
        ([], [], (200, b"", [FRESH, ("Vary", "*")]), "miss", Reason.VARY_ANY),
        ([], [], (200, b"", [("Cache-Control", "must-revalidate")]), "miss", Reason.NO_FRESHNESS),
        ([], [STALE, TAGGED], (500,), "stale", Reason.IF_ERROR),
        (
            [],
            [STALE, TAGGED],
            (304, b"", [TAGGED, ("Cache-Control", "no-store")]),
            "revalidated",
            Reason.NO_STORE,
        ),
        ([("Cache-Control", "no-cache")], [FRESH], (200, b"", [FRESH]), "miss", Reason.REQUEST_NO_CACHE),
        ([("Cache-Control", "no-store")], [FRESH], (200,), "bypass", Reason.REQUEST_NO_STORE),
        ([("Cache-Control", "only-if-cached")], [], (200,), "miss", Reason.ONLY_IF_CACHED),
        ([("Cache-Control", "max-stale")], [STALE, TAGGED], (200,), "stale", Reason.MAX_STALE),
    ],
)
def test_what_is_told_is_what_is_logged(proxy, origin, path, fields, first, then, verdict, reason):
    origin.on(path).reply(200, b"x", first).reply(*then)
    proxy.get("/on" + path)
    answer = proxy.get("/on" + path, *fields)
    assert said(answer) == reason
    assert logged(proxy, answer) == listed(proxy, answer) == (verdict, reason)


def test_who_reads_along_is_told_why_it_was_fetched(proxy, origin, path):
    gate = Gate()
    origin.on(path).reply(200, b"x", [FRESH], gate=gate)
    with proxy.send(request("GET", "/on" + path)) as one:
        assert gate.reached.wait(PATIENCE)
        with proxy.send(request("GET", "/on" + path)) as other:
            while proxy.metric("leeward_inflight_requests", upstream="on") < 2:
                pass
            gate.open()
            answers = [one.read(), other.read()]
    assert [said(answer) for answer in answers] == [Reason.URI_MISS] * 2
    assert "; collapsed" in answers[1].header("Cache-Status")
    assert [logged(proxy, answer) for answer in answers] == [
        ("miss", Reason.URI_MISS),
        ("coalesced", Reason.URI_MISS),
    ]
