"""Does the running program forget what it is told to forget, that and nothing else, and say how much went?"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.origin import Gate, closed_port
from tests.running import ROOT, Leeward
from tests.wire import Answer

FRESH = ("Cache-Control", "max-age=60")
SECRET = "purge-secret-7f3a9c2e"


@pytest.fixture
def proxy(leeward, origin):
    """With six answers stored, three of an upstream."""
    origin.on("/repos/1").reply(200, b"1", [FRESH, ("Cache-Tag", "user-1,all")])
    origin.on("/repos/1/issues").reply(200, b"2", [FRESH, ("Surrogate-Key", "issues all")])
    origin.on("/zen").reply(200, b"3", [FRESH, ("xkey", "user-1"), ("Edge-Tag", "edge")])
    running = leeward(
        {
            "upstreams": {
                name: {
                    "base_url": origin.url,
                    "auth": {"type": "query", "name": "key", "value": SECRET},
                    "cache": {"key": {"ignore_query": ["page"]}},
                }
                for name in ("one", "two")
            }
        }
    )
    assert told(running, {"all": True}).status == 200
    for name in ("one", "two"):
        for path in ("/repos/1?page=2", "/repos/1/issues", "/zen"):
            assert running.get(f"/{name}{path}").status == 200
    return running


def told(running: Leeward, asked: dict[str, object]) -> Answer:
    kind = [("Content-Type", "application/json")]
    return running.admin_ask("POST", "/api/v1/cache/purge", kind, json.dumps(asked).encode())


def purge(running: Leeward, *arguments: str) -> tuple[int, str]:
    """Exit status and what the command prints."""
    admin = ":".join(map(str, running.admin))
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "purge", *arguments, "--admin", admin],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout


def listed(running, query: str = "") -> list[str]:
    entries = running.admin_json(f"/api/v1/cache{query}")["entries"]
    return sorted(entry["upstream"] + entry["target"] for entry in entries)


@pytest.mark.parametrize(
    ("asked", "gone"),
    [
        ({"upstream": "one", "path": "/repos/*"}, ["one/repos/1?page=***"]),
        ({"path": "/repos/**", "tag": "issues"}, ["one/repos/1/issues", "two/repos/1/issues"]),
        ({"tag": "user-1"}, ["one/repos/1?page=***", "one/zen", "two/repos/1?page=***", "two/zen"]),
        ({"upstream": "two", "tag": "issues"}, ["two/repos/1/issues"]),
        ({"upstream": "two"}, ["two/repos/1/issues", "two/repos/1?page=***", "two/zen"]),
        ({"tag": "edge"}, []),
    ],
    ids=str,
)
def test_what_is_purged_is_asked_for_again_and_nothing_else(proxy, asked, gone):
    everything = listed(proxy)
    assert len(everything) == 6
    before = proxy.metric("leeward_cache_evictions_total", reason="purged")
    assert told(proxy, asked).json() == {"purged": len(gone)}
    assert listed(proxy) == [target for target in everything if target not in gone]
    assert proxy.metric("leeward_cache_evictions_total", reason="purged") == before + len(gone)
    again = proxy.get("/two/zen").header("Cache-Status") or ""
    assert ("hit" in again) is ("two/zen" not in gone)


def test_the_command(proxy):
    assert purge(proxy, "--upstream", "one", "--path", "/repos/**") == (0, "2\n")
    assert purge(proxy, "--upstream", "nobody") == (2, "")
    assert purge(proxy, "--all") == (0, "4\n")
    assert proxy.metric("leeward_cache_entries", store="memory") == 0
    assert proxy.metric("leeward_cache_bytes", store="memory") == 0
    proxy_gone = subprocess.run(
        [sys.executable, "-m", "proxy", "purge", "--all", "--admin", f"127.0.0.1:{closed_port()}"],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (proxy_gone.returncode, proxy_gone.stdout) == (1, b"")


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({"tag": "a b"}, 422, "bad_purge"),
        ({}, 422, "bad_purge"),
        ({"upstream": "nobody"}, 404, "unknown_upstream"),
    ],
)
def test_what_is_not_understood_purges_nothing(proxy, asked, status, code):
    answer = told(proxy, asked)
    assert (answer.status, answer.json()["error"]) == (status, code)
    assert len(listed(proxy)) == 6


def test_the_tags_reach_the_caller(proxy):
    assert proxy.get("/one/repos/1").header("Cache-Tag") == "user-1,all"
    assert proxy.get("/one/repos/1/issues").header("Surrogate-Key") == "issues all"


def test_the_listing_says_what_is_stored_and_no_secret(proxy):
    proxy.get("/one/zen")
    answer = proxy.admin_ask("GET", "/api/v1/cache?upstream=one&path=/zen")
    (entry,) = json.loads(answer.body)["entries"]
    assert (entry["upstream"], entry["target"], entry["status"]) == ("one", "/zen", 200)
    assert (entry["tags"], entry["hits"]) == (["user-1"], 1)
    assert 0 <= entry["age"] < 30
    assert 30 < entry["ttl"] <= 60
    assert entry["size"] > 1
    assert SECRET.encode() not in proxy.admin_ask("GET", "/api/v1/cache").body
    assert listed(proxy, "?tag=all&upstream=two") == ["two/repos/1/issues", "two/repos/1?page=***"]
    assert len(listed(proxy, "?limit=2")) == 2


def test_what_is_on_its_way_is_not_stored(proxy, origin):
    gate = Gate()
    head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nCache-Tag: late\r\nContent-Length: 3\r\n\r\n"
    origin.on("/late").raw(gate, head, b"old").reply(200, b"new", [FRESH])
    with proxy.wire() as wire:
        wire.send(b"GET /one/late HTTP/1.1\r\nHost: x\r\n\r\n")
        origin.wait_for("/late")
        assert told(proxy, {"tag": "late"}).json() == {"purged": 0}
        gate.open()
        assert wire.read().body == b"old"
    assert proxy.get("/one/late").body == b"new"


def test_configuration_names_the_fields(leeward, origin):
    origin.on("/a").reply(200, b"a", [FRESH, ("Edge-Tag", "red"), ("Cache-Tag", "blue")])
    running = leeward(
        {"cache": {"tag_headers": ["Edge-Tag"]}, "upstreams": {"one": {"base_url": origin.url}}}
    )
    running.get("/one/a")
    assert told(running, {"tag": "blue"}).json() == {"purged": 0}
    assert told(running, {"tag": "red"}).json() == {"purged": 1}
