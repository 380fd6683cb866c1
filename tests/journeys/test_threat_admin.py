"""Is the admin port out of reach of web pages, other hosts and other names?"""

from __future__ import annotations

import json

import pytest

from tests.wire import ask

PATHS = ["/metrics", "/", "/healthz", "/readyz", "/api/v1/status", "/api/v1/requests"]
PURGE = json.dumps({"all": True}).encode()
JSON = ("Content-Type", "application/json")


def say(proxy, method, path, *headers, body=None, host=None):
    return ask(proxy.admin, method, path, headers, body, host=host or f"127.0.0.1:{proxy.admin[1]}")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "localhost.evil", "10.1.2.3"]
)
@pytest.mark.parametrize("path", PATHS)
def test_a_foreign_host_is_refused(guarded, path, host):
    answer = say(guarded, "GET", path, host=host.format(port=guarded.admin[1]))
    assert answer.status in (400, 403, 421)
    assert b"leeward_" not in answer.body


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "[::1]:{port}"])
def test_its_own_names_are_welcome(guarded, host):
    assert say(guarded, "GET", "/healthz", host=host.format(port=guarded.admin[1])).status == 200


FOREIGN = [
    [("Origin", "http://evil.example")],
    [("Origin", "null")],
    [("Origin", "http://127.0.0.1:1")],
    [("Origin", "https://localhost.evil")],
    [("Sec-Fetch-Site", "cross-site")],
    [("Sec-Fetch-Site", "same-site")],
]


@pytest.mark.parametrize("headers", FOREIGN, ids=lambda h: "-".join(h[0]))
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_foreign_origin_is_refused(guarded, origin, headers, method):
    path = "/api/v1/status" if method == "GET" else "/api/v1/cache/purge"
    body = PURGE if method == "POST" else None
    answer = say(guarded, method, path, JSON, *headers, body=body)
    assert answer.status in (403, 421)
    assert not [n for n, _ in answer.fields if n.lower().startswith("access-control-")]


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "",
        "text/plain;application/json",
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/cache/purge", "/api/v1/reload", "/api/v1/drain"])
def test_no_change_without_json(guarded, path, kind):
    answer = say(guarded, "POST", path, ("Content-Type", kind), body=PURGE)
    assert answer.status in (400, 403, 404, 415)
    assert guarded.admin_ask("GET", "/readyz").status == 200


@pytest.mark.parametrize("path", ["/api/v1/cache/purge", "/api/v1/reload", "/api/v1/drain"])
def test_no_change_by_get(guarded, path):
    assert say(guarded, "GET", path).status in (404, 405)
    assert guarded.admin_ask("GET", "/readyz").status == 200


def test_a_preflight_gets_no_permission(guarded):
    headers = [("Origin", "http://evil.example"), ("Access-Control-Request-Method", "POST")]
    answer = say(guarded, "OPTIONS", "/api/v1/cache/purge", *headers)
    assert answer.status >= 400
    assert not [n for n, _ in answer.fields if n.lower().startswith("access-control-")]


@pytest.mark.parametrize("path", PATHS)
def test_no_answer_is_for_other_sites(guarded, path):
    answer = say(guarded, "GET", path)
    assert not [n for n, _ in answer.fields if n.lower().startswith("access-control-")]
    assert "aiohttp" not in answer.raw_head.decode("latin-1")


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/api/v1/status"])
def test_the_proxy_port_serves_no_admin(guarded, origin, path):
    guarded.get(path)
    assert origin.hit(path).method == "GET"


def test_the_admin_port_forwards_nothing(guarded, origin):
    assert say(guarded, "GET", "/anything").status == 404
    assert say(guarded, "TRACE", "/").status >= 400
    assert say(guarded, "CONNECT", "evil:443").status >= 400
    assert origin.received() == b""
