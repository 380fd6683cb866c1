"""Is the cache in Redis one cache for several programs, and does the program live on without it?"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.origin import PATIENCE, Gate, Origin
from tests.running import Leeward
from tests.stores.redis.servers import RedisServer, Relay

FRESH = ("Cache-Control", "max-age=60")
SECRET = "canary-redis-7f3a9c2e"
CALM = {"timeout": "10s"}  # a busy machine is not taken for a slow Redis


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[RedisServer]:
    made = RedisServer(tmp_path_factory.mktemp("redis"), requirepass=SECRET)
    yield made
    made.stop()


@pytest.fixture
def start(leeward, origin, server, tmp_path):
    """Starts a program of its own on the server, or on another address."""
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n")

    def started(url: str = server.url, workers: int = 1, **redis: object) -> Any:
        cache = {"store": url, "redis": {"password": {"file": str(file)}, "prefix": tmp_path.name, **redis}}
        upstreams = {"api": {"base_url": origin.url}}
        return leeward({"server": {"workers": workers}, "cache": cache, "upstreams": upstreams}, fresh=True)

    return started


def is_hit(answer) -> bool:
    return (answer.header("Cache-Status") or "").startswith("leeward; hit")


def until(check) -> None:
    limit = time.monotonic() + PATIENCE
    while not check():
        assert time.monotonic() < limit
        time.sleep(0.01)


def sharing(one: Leeward, two: Leeward, origin: Origin) -> None:
    """Waits until both know the store, which a busy machine may let them find late."""
    for count in range(1000):
        target = f"/sharing/{count}"
        origin.on(target).reply(200, b"shared", [FRESH])
        one.get(f"/api{target}")
        if is_hit(two.get(f"/api{target}")):
            return
        time.sleep(0.05)
    raise AssertionError("they share nothing")


def purge(proxy: Leeward, asked: bytes) -> dict[str, int]:
    kind = [("Content-Type", "application/json")]
    told: dict[str, int] = proxy.admin_ask("POST", "/api/v1/cache/purge", kind, asked).json()
    return told


def test_two_programs_share_it_their_purges_and_a_restart(start, origin):
    one, two = start(**CALM), start(**CALM)
    sharing(one, two, origin)
    assert purge(one, b'{"all": true}')["purged"] >= 1
    origin.on("/shared").reply(200, b"one", [FRESH, ("Cache-Tag", "red")])
    assert one.get("/api/shared").body == b"one"
    for _ in range(3):  # the copy in front answers too
        assert is_hit(two.get("/api/shared"))
    assert origin.count("/shared") == 1
    for asked in (b'{"tag": "red"}', b'{"all": true}', b'{"path": "/shared"}', b'{"upstream": "api"}'):
        began = time.monotonic()
        assert purge(one, asked) == {"purged": 1}
        until(lambda: not is_hit(two.get("/api/shared")))
        assert time.monotonic() - began < PATIENCE
    listed = one.admin_json("/api/v1/cache")["entries"]
    assert [(row["target"], row["tags"]) for row in listed] == [("/shared", ["red"])]
    for proxy in (one, two):
        assert proxy.stop() == 0
    again = start(**CALM)
    until(lambda: is_hit(again.get("/api/shared")))


def test_what_one_changes_the_other_does_not_serve(start, origin):
    one, two = start(**CALM), start(**CALM)
    sharing(one, two, origin)
    origin.on("/changed").reply(200, b"old", [FRESH])
    assert one.get("/api/changed").body == b"old"
    assert is_hit(two.get("/api/changed"))
    origin.on("/changed").reply(200, b"changed").reply(200, b"new", [FRESH])
    assert one.ask("PUT", "/api/changed", body=b"new").body == b"changed"
    until(lambda: two.get("/api/changed").body == b"new")


def test_a_cold_popular_answer_is_fetched_once_for_all(start, origin):
    proxies = [start(**CALM), start(**CALM)]
    sharing(proxies[0], proxies[1], origin)
    gate = Gate()
    origin.on("/cold").raw(
        gate, b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 3\r\n\r\nhot"
    )
    with ExitStack() as stack:
        wires = [stack.enter_context(proxy.wire()) for proxy in proxies for _ in range(20)]
        for wire in wires:
            wire.send(b"GET /api/cold HTTP/1.1\r\nHost: x\r\n\r\n")
        origin.wait_for("/cold")
        gate.open()
        assert {wire.read().body for wire in wires} == {b"hot"}
    assert origin.count("/cold") == 1


def test_workers_of_several_programs_are_one_cache(start, origin):
    proxies = [start(workers=2, **CALM), start(workers=2, **CALM)]
    sharing(proxies[0], proxies[1], origin)
    gate = Gate()
    origin.on("/crowd").reply(200, b"hot", [FRESH], gate=gate)
    with ExitStack() as stack:
        wires = [stack.enter_context(proxy.wire()) for proxy in proxies for _ in range(40)]
        for wire in wires:
            wire.send(b"GET /api/crowd HTTP/1.1\r\nHost: x\r\n\r\n")
        origin.wait_for("/crowd")
        gate.open()
        assert {wire.read().body for wire in wires} == {b"hot"}
        assert origin.count("/crowd") == 1
        assert purge(proxies[0], b'{"path": "/crowd"}') == {"purged": 1}
        # A copy in front of any worker goes with it.
        until(lambda: origin.count("/crowd") == 2 or not is_hit(proxies[1].get("/api/crowd")))
        for wire in wires:
            wire.send(b"GET /api/crowd HTTP/1.1\r\nHost: x\r\n\r\n")
            assert wire.read().body == b"hot"
    assert origin.count("/crowd") == 2


def test_what_cannot_be_shared_keeps_nobody_waiting(start, origin):
    proxies = [start(**CALM), start(**CALM)]
    origin.on("/own").reply(200, b"own", [("Cache-Control", "no-store")])
    began = time.monotonic()
    for _ in range(3):
        for proxy in proxies:
            assert proxy.get("/api/own").body == b"own"
    assert time.monotonic() - began < PATIENCE / 2
    assert origin.count("/own") == 6


@pytest.mark.parametrize("hurt", ["pause", "cut"])
def test_a_redis_that_hangs_costs_next_to_nothing(start, origin: Origin, server, hurt):
    relay = Relay(server.port)
    try:
        proxy = start(relay.url)
        origin.on("/live").reply(200, b"live", [FRESH])
        origin.on("/kept").reply(200, b"kept", [FRESH])
        until(lambda: proxy.admin_json("/readyz")["cache"]["trouble"] is None)
        proxy.get("/api/kept")
        {"pause": server.pause, "cut": relay.cut}[hurt]()

        def lost() -> bool:
            assert proxy.get("/api/live").body == b"live"
            return proxy.admin_json("/readyz")["cache"]["trouble"] is not None

        until(lost)
        took = []
        for _ in range(40):
            began = time.monotonic()
            assert proxy.get("/api/live").body == b"live"
            took.append(time.monotonic() - began)
        assert statistics.median(took) < 0.05
        ready = proxy.admin_json("/readyz")
        assert ready["ready"]
        assert ready["cache"] == {"store": "redis", "trouble": "it does not answer in time"}
        {"pause": server.resume, "cut": relay.mend}[hurt]()
        until(lambda: proxy.admin_json("/readyz")["cache"]["trouble"] is None)
        until(lambda: is_hit(proxy.get("/api/live")))
        assert proxy.metric("leeward_cache_failures_total", store="redis", reason="unreachable") >= 1
        told = [str(line) for line in proxy.log_lines()]
        assert sum("calls go on without it" in line for line in told) == 1
        assert any("works again" in line for line in told)
    finally:
        server.resume()
        relay.stop()


def test_a_redis_that_comes_late_is_shared_from_then_on(start, origin, tmp_path, server):
    late = RedisServer(tmp_path, requirepass=SECRET)
    late.kill()
    early = start(late.url)
    origin.on("/late").reply(200, b"late", [FRESH])
    try:
        for _ in range(2):
            assert early.get("/api/late").body == b"late"
        ready = early.admin_json("/readyz")
        assert ready["ready"]
        assert ready["cache"] == {"store": "redis", "trouble": "the connection is refused"}
        late.start()
        until(lambda: is_hit(early.get("/api/late")))
        other = start(late.url)
        until(lambda: is_hit(early.get("/api/late")) and is_hit(other.get("/api/late")))
    finally:
        late.stop()


def test_no_secret_is_anywhere(start, server):
    proxy = start(**CALM)
    proxy.get("/api/x?token=canary-of-a-caller")
    pages = [proxy.admin_ask("GET", path).body for path in ("/metrics", "/readyz", "/api/v1/status")]
    assert not any(SECRET.encode() in page for page in pages)
    assert SECRET not in proxy.stderr + proxy.stdout
    assert not any("canary" in name for name in server.names())


def test_a_wrong_password_is_told_and_not_shown(leeward, origin, server):
    wrong = "canary-wrong-password"
    cache = {"store": server.url, "redis": {"password": wrong}}
    proxy = leeward({"cache": cache, "upstreams": {"api": {"base_url": origin.url}}}, fresh=True)
    origin.on("/served").reply(200, b"served", [FRESH])
    assert proxy.get("/api/served").body == b"served"
    assert proxy.admin_json("/readyz")["cache"]["trouble"] == "it refuses the user or password"
    assert wrong not in proxy.stderr + proxy.stdout
