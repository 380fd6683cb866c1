from __future__ import annotations

import logging
from typing import Any

import pytest

from proxy.core.caching.purge import Purge
from tests.admin.served import served

JSON = "Content-Type: application/json"


async def test_metrics_are_handed_out_as_asked() -> None:
    async with served() as port:
        answer = await port.ask("GET", "/metrics", "Accept: application/openmetrics-text")
        assert (answer.status, answer.body) == (200, b"leeward_up 1\n")
        assert answer.fields["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        await port.ask("GET", "/metrics")
        assert port.behind.accepts == ["application/openmetrics-text", ""]


async def test_health_and_readiness() -> None:
    async with served() as port:
        assert (await port.ask("GET", "/healthz")).json() == {"status": "ok"}
        ready = await port.ask("GET", "/readyz")
        assert (ready.status, ready.json()) == (200, {"ready": True, "draining": False})
        port.behind.ready = False
        draining = await port.ask("GET", "/readyz")
        assert (draining.status, draining.json()) == (503, {"ready": False, "draining": True})
        assert (await port.ask("GET", "/healthz")).status == 200


@pytest.mark.parametrize(
    "path", ["/metrics", "/healthz", "/readyz", "/", "/api/v1/status", "/api/v1/requests", "/dashboard.css"]
)
async def test_head_is_get_without_a_body(path: str) -> None:
    async with served() as port:
        head, got = await port.ask("HEAD", path), await port.ask("GET", path)
        assert (head.status, head.body) == (200, b"")
        for name in ("content-type", "content-length"):
            assert head.fields[name] == got.fields[name]


async def test_status_and_requests() -> None:
    async with served() as port:
        answer = await port.ask("GET", "/api/v1/status")
        assert answer.fields["content-type"].startswith("application/json")
        assert answer.json() == {"version": "0", "upstreams": []}
        told = (await port.ask("GET", "/api/v1/requests")).json()
        assert [row["id"] for row in told["requests"]] == ["2", "1"]
        assert len((await port.ask("GET", "/api/v1/requests?limit=1")).json()["requests"]) == 1
        await port.ask("GET", "/api/v1/requests?limit=999999")
        assert port.behind.limits == [100, 1, 1000]


@pytest.mark.parametrize("limit", ["", "-1", "x", "1.5", "1e3", "99999999999", "%D9%A3"])
async def test_a_limit_is_a_whole_number(limit: str) -> None:
    async with served() as port:
        answer = await port.ask("GET", f"/api/v1/requests?limit={limit}")
        assert (answer.status, answer.json()["error"]) == (422, "bad_limit")


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({"all": True}, Purge()),
        ({"upstream": "github"}, Purge(upstream="github")),
        ({"upstream": "github", "path": "/a/**"}, Purge(upstream="github", path="/a/**")),
        ({"tag": "x"}, Purge(tag="x")),
    ],
)
async def test_purge(asked: dict[str, Any], what: Purge) -> None:
    async with served() as port:
        answer = await port.post("/api/v1/cache/purge", asked)
        assert (answer.status, answer.json()) == (200, {"purged": 7})
        assert port.behind.purged == [what]


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({"path": "nope"}, 422, "bad_purge"),
        ({"upstream": "github", "tag": "a b"}, 422, "bad_purge"),
        ({"tag": "x", "more": 1}, 422, "bad_purge"),
        ({}, 422, "bad_purge"),
        ({"all": False}, 422, "bad_purge"),
        ({"all": 1, "more": 1}, 422, "bad_purge"),
        ({"all": True, "upstream": "github"}, 422, "bad_purge"),
        ({"upstream": ""}, 422, "bad_purge"),
        ({"upstream": 1}, 422, "bad_purge"),
        ({"upstream": None}, 422, "bad_purge"),
        ([], 422, "bad_json"),
        ("all", 422, "bad_json"),
        ({"upstream": "nobody"}, 404, "unknown_upstream"),
    ],
)
async def test_a_purge_that_is_not_understood_purges_nothing(asked: Any, status: int, code: str) -> None:
    async with served() as port:
        answer = await port.post("/api/v1/cache/purge", asked)
        assert (answer.status, answer.json()["error"]) == (status, code)
        assert port.behind.purged == []


async def test_the_cache_is_listed() -> None:
    async with served() as port:
        answer = await port.ask("GET", "/api/v1/cache")
        assert (answer.status, answer.json()) == (200, {"entries": [{"upstream": "api", "target": "/a"}]})
        await port.ask("GET", "/api/v1/cache?upstream=&path=&tag=&limit=7")
        await port.ask("GET", "/api/v1/cache?upstream=api&path=/a/**&tag=caf%C3%A9&limit=99999")
        assert port.behind.listed == [
            (Purge(), 100),
            (Purge(), 7),
            (Purge(upstream="api", path="/a/**", tag="caf\u00e9"), 1000),
        ]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("limit=", 422, "bad_limit"),
        ("limit=-1", 422, "bad_limit"),
        ("path=nope", 422, "bad_filter"),
        ("tag=a%20b", 422, "bad_filter"),
        ("upstream=nobody", 404, "unknown_upstream"),
    ],
)
async def test_a_listing_that_is_not_understood(query: str, status: int, code: str) -> None:
    async with served() as port:
        answer = await port.ask("GET", f"/api/v1/cache?{query}")
        assert (answer.status, answer.json()["error"]) == (status, code)


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 50_000, b"nope", b'{"a": NaN'])
async def test_a_body_that_is_no_json(body: bytes) -> None:
    async with served() as port:
        answer = await port.ask("POST", "/api/v1/cache/purge", JSON, body=body)
        assert (answer.status, answer.json()["error"]) == (400, "bad_json")


async def test_a_body_that_is_too_large() -> None:
    async with served() as port:
        answer = await port.ask("POST", "/api/v1/drain", JSON, body=b" " * 70_000)
        assert (answer.status, answer.json()["error"]) == (413, "too_large")
        assert port.behind.drained == 0


@pytest.mark.parametrize("body", [b"", b"{}"])
async def test_drain(body: bytes) -> None:
    async with served() as port:
        answer = await port.ask("POST", "/api/v1/drain", JSON, body=body)
        assert (answer.status, answer.json()) == (202, {"draining": True})
        assert port.behind.drained == 1


@pytest.mark.parametrize(
    ("query", "status", "told"),
    [
        ("?method=post&path=/a%3Fb=%C3%A4", 200, {"method": "POST", "path": "/a?b=\u00c3\u00a4"}),
        ("?path=/a", 200, {"method": "GET", "path": "/a"}),
        ("?path=/nowhere", 404, {"error": "no_route", "detail": "no upstream"}),
        ("?path=/fenced", 403, {"error": "permission_denied", "detail": "not allowed"}),
        ("?path=a", 422, {"error": "bad_request", "detail": "no path"}),
    ],
)
async def test_explain(query: str, status: int, told: dict[str, str]) -> None:
    async with served() as port:
        answer = await port.ask("GET", "/api/v1/explain" + query)
        assert (answer.status, answer.json()) == (status, told)
        assert (await port.ask("GET", "/api/v1/explain")).json()["error"] == "bad_path"


async def test_reload_answers_with_the_problems() -> None:
    async with served() as port:
        answer = await port.post("/api/v1/reload", {})
        assert (answer.status, answer.json()) == (200, {"reloaded": True})
        port.behind.problems = ["leeward.yaml:3: upstreams.a: is wrong"]
        answer = await port.post("/api/v1/reload", {})
        assert (answer.status, answer.json()["error"]) == (422, "not_reloaded")
        assert answer.json()["problems"] == port.behind.problems
        assert (await port.ask("POST", "/api/v1/reload", "Content-Type: text/plain")).status == 415
        assert port.behind.reloaded == 2


async def test_where_nobody_is_there_to_be_asked() -> None:
    async with served() as port:
        port.behind.nobody = True
        answer = await port.ask("GET", "/api/v1/status")
        assert (answer.status, answer.json()) == (503, {"error": "no_worker", "detail": "nobody"})


@pytest.mark.parametrize("path", ["/nothing", "/api/v1/", "/dashboard.html", "/../api.py", "/%2e%2e/api.py"])
async def test_what_is_not_there_is_not_found_in_json(path: str) -> None:
    async with served() as port:
        answer = await port.ask("GET", path)
        assert (answer.status, answer.json()["error"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/metrics", "GET, HEAD"),
        ("PUT", "/api/v1/drain", "POST"),
        ("DELETE", "/", "GET, HEAD"),
        ("PROPFIND", "/healthz", "GET, HEAD"),
        ("TRACE", "/metrics", "GET, HEAD"),
        ("GET", "/api/v1/cache/purge", "POST"),
    ],
)
async def test_a_wrong_method_says_which_are_right(method: str, path: str, allowed: str) -> None:
    async with served() as port:
        answer = await port.ask(method, path, JSON)
        assert (answer.status, answer.json()["error"]) == (405, "method_not_allowed")
        assert answer.fields["allow"] == allowed


async def test_a_bug_is_told_to_the_log_and_not_to_the_caller(caplog: pytest.LogCaptureFixture) -> None:
    async with served() as port:
        port.behind.fail = True
        with caplog.at_level(logging.ERROR, "leeward.admin"):
            answer = await port.ask("GET", "/api/v1/status")
        assert (answer.status, answer.json()["error"]) == (500, "internal")
        assert b"c4nary" not in answer.body
        assert "RuntimeError" in caplog.text


@pytest.mark.parametrize("path", ["/", "/metrics", "/api/v1/status", "/nothing", "/dashboard.js"])
async def test_every_answer_is_kept_from_frames_sniffers_and_caches(path: str) -> None:
    async with served() as port:
        fields = (await port.ask("GET", path)).fields
        policy = {part.split()[0]: part.split()[1:] for part in fields["content-security-policy"].split(";")}
        assert policy["default-src"] == policy["frame-ancestors"] == ["'none'"]
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == ["'self'"]
        assert fields["x-content-type-options"] == "nosniff"
        assert fields["x-frame-options"] == "DENY"
        assert fields["referrer-policy"] == "no-referrer"
        assert fields["cache-control"] == "no-store"
        assert fields["server"] == "leeward"
        assert not [name for name in fields if name.startswith("access-control-")]
