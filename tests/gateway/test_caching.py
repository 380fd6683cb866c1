"""What a caller gets, what the origin sees, what stays: the cache as a whole, without sockets or waiting."""

import asyncio

import pytest

from proxy.core.caching.policy import CachePolicy, Scope
from proxy.core.caching.purge import Purge
from proxy.core.exchange import Verdict
from proxy.core.failure import DeadlineExceededError, NotCachedError, UnavailableError
from proxy.core.message import Request, Whole
from proxy.core.reason import Reason
from tests.core.caching.samples import TODAY, Pair, request, response, route
from tests.gateway.stage import FRESH, Pipe, Stage, fresh, settle, told, whole

TAGGED = ("ETag", '"a"')


def cc(value: str) -> Pair:
    return ("Cache-Control", value)


async def test_a_miss_then_hits() -> None:
    stage = Stage()
    stage.script.append(fresh(("Age", "3"), ("Content-Length", "4"), ("Cache-Status", "cdn; hit")))
    answer, exchange = await stage.ask(request())
    assert await whole(answer.body) == b"body"
    assert (exchange.verdict, exchange.reason) == (Verdict.MISS, Reason.URI_MISS)
    assert answer.headers.get("age") == "3"
    assert answer.headers.all("cache-status") == [
        "cdn; hit",
        "leeward; fwd=uri-miss; fwd-status=200; stored; ttl=57",
    ]
    stage.clock.time += 10.5
    answer, exchange = await stage.ask(request())
    assert await whole(answer.body) == b"body"
    assert (exchange.verdict, exchange.reason) == (Verdict.HIT, Reason.FRESH)
    assert answer.headers.all("age") == ["13"]
    assert answer.headers.all("cache-status") == ["cdn; hit", "leeward; hit; ttl=47"]
    assert answer.body.length == 4
    assert len(stage.asked) == 1


async def test_a_hit_has_the_date_of_its_arrival() -> None:
    stage = Stage()
    stage.script.append(fresh())
    await stage.get(request())
    stage.clock.time += 30
    answer, _ = await stage.get(request())
    assert (answer.headers.all("date"), answer.headers.get("age")) == ([TODAY], "30")


async def test_it_is_fetched_again_when_it_is_stale() -> None:
    stage = Stage()
    stage.script += [fresh(), fresh(body=b"new")]
    await stage.get(request())
    stage.clock.time += 60
    answer, body = await stage.get(request())
    assert body == b"new"
    assert told(answer) == "leeward; fwd=stale; fwd-status=200; stored; ttl=60; detail=expired"
    assert await stage.get(request())
    assert len(stage.asked) == 2


async def test_time_spent_on_earlier_attempts_is_no_age() -> None:
    stage = Stage()

    async def slow(_: Request) -> object:
        stage.clock.time += 100
        stage.exchanges[-1].attempts[-1].started = stage.clock.time - 2
        return fresh()

    stage.script.append(slow)  # type: ignore[arg-type] # it does return a reply
    answer, _ = await stage.get(request())
    assert told(answer).endswith("ttl=58")


async def test_head_is_answered_from_a_stored_get() -> None:
    stage = Stage()
    stage.script.append(fresh(("Content-Length", "4")))
    await stage.get(request())
    answer, body = await stage.get(request(method="HEAD"))
    assert (answer.status, answer.headers.get("content-length"), body) == (200, "4", b"")
    assert len(stage.asked) == 1


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        (request(method="OPTIONS"), "leeward; fwd=method; fwd-status=200"),
        (request(("Range", "bytes=0-1,2-3")), "leeward; fwd=bypass; fwd-status=200; detail=range"),
        (request(body=Whole(b"x")), "leeward; fwd=bypass; fwd-status=200; detail=request-body"),
        (request(cc("no-store")), "leeward; fwd=request; fwd-status=200; detail=request-no-store"),
    ],
)
async def test_past_the_cache(asked: Request, line: str) -> None:
    stage = Stage()
    stage.script += [fresh(), fresh(body=b"other"), fresh(body=b"third")]
    await stage.get(request())
    answer, exchange = await stage.ask(asked)
    assert await whole(answer.body) == b"other"
    assert told(answer) == line
    assert exchange.verdict is Verdict.BYPASS
    # Neither read nor written.
    assert (await stage.get(request()))[1] == b"body"
    assert stage.asked[1] is asked


async def test_a_cache_that_is_off() -> None:
    stage = Stage(route(CachePolicy(enabled=False)))
    stage.script += [fresh(), fresh()]
    for _ in range(2):
        answer, exchange = await stage.ask(request(cc("only-if-cached")))
        assert told(answer) == "leeward; fwd=bypass; fwd-status=200; detail=cache-off"
    assert exchange.reason is Reason.CACHE_OFF
    assert stage.store.usage() == (0, 0)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ([], Reason.NO_FRESHNESS),
        ([cc("no-store")], Reason.NO_STORE),
        ([FRESH, ("Set-Cookie", "a=b")], Reason.SET_COOKIE),
        ([FRESH, ("Vary", "*")], Reason.VARY_ANY),
    ],
)
async def test_what_may_not_be_stored_is_passed_on_as_it_is(fields: list[Pair], reason: Reason) -> None:
    stage = Stage()
    body = Pipe(b"x", None)
    stage.script += [response(*fields, body=body), response(*fields), fresh(), fresh()]
    answer, exchange = await stage.ask(request())
    assert answer.body is body
    assert told(answer) == f"leeward; fwd=uri-miss; fwd-status=200; detail={reason}"
    assert (exchange.verdict, exchange.reason) == (Verdict.MISS, reason)
    # The verdict is remembered, but a better one is taken.
    assert (await stage.ask(request()))[1].reason is reason
    assert told((await stage.get(request()))[0]).endswith("stored; ttl=60")
    assert told((await stage.get(request()))[0]) == "leeward; hit; ttl=60"


async def test_only_if_cached() -> None:
    stage = Stage()
    for fields in ([cc("only-if-cached")], [cc("only-if-cached"), ("Range", "bytes=0-1")]):
        with pytest.raises(NotCachedError):
            await stage.ask(request(*fields))
        assert stage.exchanges[-1].reason is Reason.ONLY_IF_CACHED
    stage.script.append(fresh())
    await stage.get(request())
    assert (await stage.get(request(cc("only-if-cached"))))[1] == b"body"
    # A remembered verdict is no stored answer either.
    stage.script.append(response())
    await stage.ask(request(target="/b"))
    with pytest.raises(NotCachedError):
        await stage.ask(request(cc("only-if-cached"), target="/b"))


async def test_max_stale_is_told() -> None:
    stage = Stage()
    stage.script.append(fresh())
    await stage.get(request())
    stage.clock.time += 70
    answer, exchange = await stage.ask(request(cc("max-stale=20")))
    assert told(answer) == "leeward; hit; ttl=-10; detail=max-stale"
    assert (exchange.verdict, exchange.reason) == (Verdict.STALE, Reason.MAX_STALE)


async def test_variants() -> None:
    stage = Stage()
    for name in ("de", "en"):
        stage.script.append(fresh(("Vary", "Accept-Language"), body=name.encode()))
        answer, _ = await stage.get(request(("Accept-Language", name)))
    assert told(answer).startswith("leeward; fwd=vary-miss; ")
    for name in ("de", "en"):
        assert (await stage.get(request(("Accept-Language", name))))[1] == name.encode()
    assert len(stage.asked) == 2


async def test_identities_do_not_share() -> None:
    stage = Stage()
    stage.script += [fresh(body=b"one"), fresh(body=b"two"), fresh(body=b"three")]
    one, two = request(("Authorization", "one")), request(("Authorization", "two"))
    for asked, body in ((one, b"one"), (two, b"two"), (request(), b"three"), (one, b"one"), (two, b"two")):
        assert (await stage.get(asked))[1] == body


async def test_a_shared_cache_does_not_store_what_was_authorised() -> None:
    stage = Stage(route(CachePolicy(scope=Scope.SHARED)))
    stage.script += [fresh(), response(cc("public, max-age=60"), body=Whole(b"public"))]
    answer, _ = await stage.ask(request(("Authorization", "one")))
    assert told(answer).endswith("detail=authorized")
    await stage.get(request(("Authorization", "one")))
    assert (await stage.get(request()))[1] == b"public"


@pytest.mark.parametrize(
    ("method", "status", "hit"),
    [
        ("POST", 201, False),
        ("DELETE", 204, False),
        ("PUT", 404, True),
        ("POST", 500, True),
        ("OPTIONS", 200, True),
    ],
)
async def test_unsafe_methods_invalidate_for_every_identity(method: str, status: int, hit: bool) -> None:
    stage = Stage()
    stage.script += [fresh(), fresh(), response(status=status), fresh(body=b"new"), fresh(body=b"new")]
    identities = [request(), request(("Authorization", "x"))]
    for asked in identities:
        await stage.get(asked)
    await stage.get(request(method=method))
    for asked in identities:
        assert (await stage.get(asked))[1] == (b"body" if hit else b"new")


async def test_location_is_invalidated_too() -> None:
    stage = Stage()
    stage.script += [fresh(), response(("Location", "/b"), status=201), fresh(body=b"new")]
    await stage.get(request(target="/b"))
    await stage.get(request(method="POST", target="/a"))
    assert (await stage.get(request(target="/b")))[1] == b"new"


async def test_invalidation_that_fails_closes_the_answer() -> None:
    stage = Stage()
    body = Pipe()
    stage.script.append(response(body=body))

    async def broken(place: bytes) -> int:
        raise OSError("store")

    stage.store.drop_place = broken  # type: ignore[method-assign] # breaks it
    with pytest.raises(OSError, match="store"):
        await stage.ask(request(method="POST"))
    assert body.closed


async def test_a_callers_condition_is_answered_from_a_fresh_entry() -> None:
    stage = Stage()
    stage.script.append(fresh(TAGGED))
    await stage.get(request())
    answer, exchange = await stage.ask(request(("If-None-Match", '"a"')))
    assert (answer.status, exchange.verdict) == (304, Verdict.HIT)
    assert (await stage.get(request(("If-None-Match", '"b"'))))[1] == b"body"
    assert len(stage.asked) == 1


async def test_without_an_entry_the_callers_condition_goes_upstream() -> None:
    stage = Stage()
    stage.script += [response(TAGGED, status=304), fresh(TAGGED)]
    asked = request(("If-None-Match", '"a"'))
    answer, exchange = await stage.ask(asked)
    assert (answer.status, exchange.reason) == (304, Reason.NOT_MODIFIED)
    assert stage.asked[0].headers == asked.headers
    # That says nothing about others: the next one is stored.
    assert told((await stage.get(request()))[0]).endswith("stored; ttl=60")


async def test_post_is_cached_by_its_body_where_the_route_says_so() -> None:
    on = route(CachePolicy(methods=frozenset({"GET", "POST"}), override_ttl=60))
    stage = Stage(on)
    stage.script += [response(body=Whole(b"1")), response(body=Whole(b"2"))]
    for body, expected in ((b"one", b"1"), (b"two", b"2"), (b"one", b"1")):
        assert (await stage.get(request(method="POST", body=Pipe(body, None))))[1] == expected
    assert [await whole(asked.body) for asked in stage.asked] == [b"one", b"two"]


async def test_a_failure_of_the_fetch_is_the_callers() -> None:
    stage = Stage()
    stage.script += [UnavailableError("down"), fresh()]
    with pytest.raises(UnavailableError, match="down"):
        await stage.ask(request())
    assert (await stage.get(request()))[1] == b"body"
    assert len(stage.caching._flights) == 0


async def test_purging_and_invalidating() -> None:
    stage = Stage()
    stage.script += [fresh(), fresh(body=b"new")]
    await stage.get(request())
    assert await stage.caching.purge(Purge(upstream="another")) == 0
    assert await stage.caching.purge(Purge()) == 1
    assert (await stage.get(request()))[1] == b"new"
    assert await stage.caching.invalidate(b"elsewhere") == 0


async def test_a_slow_store_does_not_cause_a_second_fetch() -> None:
    """An answer that lands while the store is asked for it is not fetched again."""
    stage = Stage()
    stage.script.append(fresh())
    load = stage.store.load
    landed = False

    async def slow(key: object) -> object:
        nonlocal landed
        found = await load(key)  # type: ignore[arg-type] # passed through
        if not landed:
            landed = True
            stage.store.load = load  # type: ignore[method-assign] # back to its own
            await stage.get(request())
        return found

    stage.store.load = slow  # type: ignore[assignment,method-assign] # slows it
    assert (await stage.get(request()))[1] == b"body"
    assert len(stage.asked) == 1


async def test_nothing_is_left_running() -> None:
    stage = Stage()
    stage.script += [fresh(body=Pipe(b"x")), fresh()]
    answer, _ = await stage.ask(request())
    assert len(stage.refresh) == 1
    answer.body.close()
    await settle()
    assert len(stage.refresh) == 0
    assert len(stage.caching._flights) == 0
    assert stage.store.usage() == (0, 0)
    assert stage.errors == []


async def test_a_follower_waits_no_longer_than_its_own_time() -> None:
    stage = Stage()
    stage.gate = asyncio.Event()
    stage.script.append(fresh(body=Whole(b"late")))
    leader = asyncio.create_task(stage.get(request()))
    await settle()
    with pytest.raises(DeadlineExceededError, match="others"):
        await stage.ask(request(), deadline=stage.clock.time)
    follower = asyncio.create_task(stage.ask(request(), deadline=stage.clock.time + 60))
    await settle()
    stage.gate.set()
    assert (await leader)[1] == await whole((await follower)[0].body) == b"late"
    assert len(stage.asked) == 1
