"""Is the cache in a folder one cache: over restarts, for several programs, and when the disk fails?"""

from __future__ import annotations

import time

import pytest

from tests.origin import PATIENCE

FRESH = ("Cache-Control", "max-age=60")


@pytest.fixture
def start(leeward, origin, tmp_path):
    """Starts a program of its own on the folder `cache`, or on another one."""

    def started(folder=None, **cache):
        where = {"store": f"disk://{folder or tmp_path / 'cache'}", **cache}
        return leeward({"cache": where, "upstreams": {"api": {"base_url": origin.url}}}, fresh=True)

    return started


def is_hit(answer):
    return (answer.header("Cache-Status") or "").startswith("leeward; hit")


def until(check):
    limit = time.monotonic() + PATIENCE
    while not check():
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_it_is_kept_over_a_restart(start, origin):
    origin.on("/kept").reply(200, b"kept", [FRESH, ("Cache-Tag", "red")])
    before = start()
    assert before.get("/api/kept").body == b"kept"
    until(lambda: before.metric("leeward_cache_entries", store="disk") == 1)
    assert before.stop() == 0
    after = start()
    answer = after.get("/api/kept")
    assert answer.body == b"kept"
    assert is_hit(answer)
    assert origin.count("/kept") == 1


def test_it_is_kept_when_the_program_is_killed(start, origin):
    origin.on("/killed").reply(200, b"kept", [FRESH])
    before = start()
    before.get("/api/killed")
    until(lambda: before.metric("leeward_cache_entries", store="disk") == 1)
    before.kill()
    assert start().get("/api/killed").body == b"kept"
    assert origin.count("/killed") == 1


def test_two_programs_share_it_and_their_purges(start, origin):
    one, two = start(), start()
    origin.on("/shared").reply(200, b"one", [FRESH, ("Cache-Tag", "red")])
    assert one.get("/api/shared").body == b"one"
    until(lambda: two.metric("leeward_cache_entries", store="disk") == 1)
    for _ in range(3):  # the copy in front answers too
        assert is_hit(two.get("/api/shared"))
    assert origin.count("/shared") == 1
    for purge in (b'{"tag": "red"}', b'{"all": true}', b'{"path": "/shared"}'):
        purged = one.admin_ask("POST", "/api/v1/cache/purge", [("Content-Type", "application/json")], purge)
        assert purged.json() == {"purged": 1}
        assert not is_hit(two.get("/api/shared"))
        until(lambda: one.metric("leeward_cache_entries", store="disk") == 1)
    listed = one.admin_json("/api/v1/cache")["entries"]
    assert [(row["target"], row["tags"]) for row in listed] == [("/shared", ["red"])]


def test_programs_for_different_tenants_do_not_get_each_others_answers(leeward, origin, tmp_path):
    def start(shop):
        upstream = {"base_url": origin.url, "headers": {"set": {"X-Shop": shop}}}
        store = {"store": f"disk://{tmp_path / 'cache'}"}
        return leeward({"cache": store, "upstreams": {"api": upstream}}, fresh=True)

    one, same, other = start("one"), start("one"), start("two")
    for shop, proxy in (("one", one), ("two", other)):
        origin.on("/orders").reply(200, shop.encode(), [FRESH])
        assert proxy.get("/api/orders").body == shop.encode()
    assert is_hit(same.get("/api/orders"))
    assert origin.count("/orders") == 2


def test_what_one_changes_the_other_does_not_serve(start, origin):
    one, two = start(), start()
    origin.on("/changed").reply(200, b"old", [FRESH])
    for proxy in (one, two):
        proxy.get("/api/changed")
    until(lambda: is_hit(two.get("/api/changed")))
    origin.on("/changed").reply(200, b"changed").reply(200, b"new", [FRESH])
    assert one.ask("PUT", "/api/changed", body=b"new").body == b"changed"
    assert two.get("/api/changed").body == b"new"


@pytest.mark.parametrize("obstacle", ["file", "forbidden"])
def test_where_it_cannot_be_the_program_serves_and_says_so(start, origin, tmp_path, obstacle):
    (tmp_path / "file").write_bytes(b"")
    folder = tmp_path / "file" / "cache" if obstacle == "file" else "/proc/leeward"
    origin.on("/served").reply(200, b"served", [FRESH])
    proxy = start(folder)
    for _ in range(3):
        assert proxy.get("/api/served").body == b"served"
    ready = proxy.admin_json("/readyz")
    assert ready["ready"]
    assert ready["cache"]["store"] == "disk"
    assert ready["cache"]["trouble"]
    assert proxy.metric("leeward_cache_failures_total", store="disk") >= 1
    told = [line for line in proxy.log_lines() if "calls go on without it" in str(line)]
    assert len(told) == 1


def test_a_folder_that_comes_late_is_shared_from_then_on(start, origin, tmp_path):
    (tmp_path / "late").write_bytes(b"in the way")
    late, early = start(tmp_path / "late" / "cache"), None
    origin.on("/late").reply(200, b"late", [FRESH])
    late.get("/api/late")
    (tmp_path / "late").unlink()

    def arrived():
        late.get("/api/other")  # what tries again is a request
        return late.admin_json("/readyz")["cache"]["trouble"] is None

    until(arrived)
    early = start(tmp_path / "late" / "cache")
    early.get("/api/late")
    until(lambda: is_hit(early.get("/api/late")))
    before = origin.count("/late")
    until(lambda: is_hit(late.get("/api/late")))
    assert origin.count("/late") <= before + 1
    purged = early.admin_ask(
        "POST", "/api/v1/cache/purge", [("Content-Type", "application/json")], b'{"path": "/late"}'
    )
    assert purged.json()["purged"] >= 1
    assert not is_hit(late.get("/api/late"))
    assert is_hit(early.get("/api/late")), "one salt for both"
