"""Is a request passed on again only while deciding anew would do the same, and told as that would be?"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.caching.admission import READ
from proxy.core.caching.policy import CachePolicy, KeyPolicy, Scope
from proxy.core.caching.purge import Purge
from proxy.core.exchange import Attempt, Exchange, Verdict
from proxy.core.failure import NotCachedError
from proxy.core.message import Headers, Request, Response
from proxy.core.ports import Passing, Told
from proxy.core.reason import Reason
from proxy.core.routing import Route
from proxy.gateway.passing import NeverKept, PastTheCache
from tests.core.caching.samples import TODAY, Pair, request, response, route
from tests.gateway.stage import Stage, fresh, settle, told, whole
from tests.gateway.test_lasting import Changing

NEVER = ("Cache-Control", "no-store")


class Said:
    """A core.ports.Beginning."""

    def __init__(self, *fields: Pair, status: int = 200) -> None:
        self.status = status
        self.fields = fields

    @property
    def deciding(self) -> tuple[bytes, ...]:
        return tuple(f"{name}: {value}".encode() for name, value in self.fields if name.lower() in READ)

    def headers(self) -> Headers:
        return Headers.of(*self.fields)


@pytest.fixture
def changing() -> Changing:
    return Changing()


@pytest.fixture
def stage(changing: Changing) -> Stage:
    return Stage(replace(route(), injector=changing))  # type: ignore[arg-type]  # nothing is injected here


async def asked(
    stage: Stage, *fields: Pair, wanted: Request | None = None, on: Route | None = None, **named: Any
) -> Passing | None:
    """What is known after an answer with these fields."""
    stage.script.append(response(*fields, **named))
    answer, exchange = await stage.ask(wanted or request(), on)
    answer.body.close()
    return None if exchange.passing is None else exchange.passing()


async def passing(stage: Stage, *fields: Pair, **named: Any) -> NeverKept:
    found = await asked(stage, *(fields or (NEVER,)), **named)
    assert isinstance(found, NeverKept)
    return found


# While it holds


async def test_it_holds_as_long_as_the_verdict(stage: Stage) -> None:
    never = await passing(stage)
    assert (never.route, never.request.target) == (stage.route, request().target)
    stage.clock.time += 9.99
    assert never.holds(stage.clock.now())
    stage.clock.time += 0.01
    assert not never.holds(stage.clock.now())


async def test_each_answer_that_is_not_kept_renews_the_verdict(stage: Stage) -> None:
    never = await passing(stage)
    for _ in range(5):
        stage.clock.time += 9
        assert never.holds(stage.clock.now())
        assert never.told(Said(NEVER), stage.clock.now()) is not None


async def test_it_ends_with_its_credential(stage: Stage, changing: Changing) -> None:
    never = await passing(stage)
    bypass = await asked(stage, wanted=request(NEVER))
    assert isinstance(bypass, PastTheCache)
    for name in ("two", None):
        changing.name = name
        assert not never.holds(stage.clock.now())
        assert not bypass.holds(stage.clock.now())
    changing.name = "one"
    assert never.holds(stage.clock.now())
    assert bypass.holds(stage.clock.now())


async def test_it_ends_when_an_answer_is_kept(stage: Stage) -> None:
    never = await passing(stage)
    stage.script.append(fresh())
    await stage.get(request())
    assert not never.holds(stage.clock.now())


# What is never passed on so


async def test_an_answer_that_is_kept_leaves_nothing(stage: Stage) -> None:
    assert await asked(stage, ("Cache-Control", "max-age=60")) is None


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
async def test_a_passing_failure_leaves_nothing(stage: Stage, status: int) -> None:
    assert await asked(stage, NEVER, status=status) is None


@pytest.mark.parametrize("method", ["HEAD", "POST"])
async def test_only_a_get(stage: Stage, method: str) -> None:
    assert await asked(stage, NEVER, wanted=request(method=method)) is None


@pytest.mark.parametrize("name", ["x-request-id", "traceparent"])
async def test_not_where_a_name_is_part_of_the_key(stage: Stage, name: str) -> None:
    on = replace(stage.route, cache=CachePolicy(key=KeyPolicy(headers=(name,))))
    assert await asked(stage, NEVER, wanted=request((name, "a")), on=on) is None
    on = replace(stage.route, cache=CachePolicy(key=KeyPolicy(headers=("accept",))))
    assert await asked(stage, NEVER, wanted=request(("Accept", "a")), on=on) is not None


async def test_not_where_the_caller_wants_nothing_but_what_is_stored(stage: Stage) -> None:
    await passing(stage)
    wanted = request(("Cache-Control", "only-if-cached"))
    exchange = Exchange(id="x", method="GET", target="/a", started=0.0, at=0.0)
    with pytest.raises(NotCachedError):
        await stage.caching.answer(wanted, stage.route, exchange, _nobody)
    assert exchange.passing is None


async def _nobody(_: Request, __: Exchange) -> Response:
    raise AssertionError("nobody is asked")


@pytest.mark.parametrize("name", ["another", None])
async def test_not_where_the_credential_changed_before_it_was_asked_for(
    stage: Stage, changing: Changing, name: str | None
) -> None:
    """The key is the old one's."""
    found = []
    for wanted in (request(), request(NEVER)):
        changing.name = "one"
        stage.script.append(response(NEVER))
        answer, exchange = await stage.ask(wanted)
        answer.body.close()
        changing.name = name
        assert exchange.passing is not None
        found.append(exchange.passing())
    never, bypass = found
    assert never is None
    assert (bypass is None) is (name is None), "what passes the cache has no key"


# What is told of an answer


ANSWERS: dict[str, tuple[tuple[Pair, ...], int]] = {
    "no-store": ((NEVER,), 200),
    "created": ((NEVER,), 201),
    "private and no-store": ((("Cache-Control", "private, no-store"),), 200),
    "a cookie": ((("Cache-Control", "max-age=60"), ("Set-Cookie", "a=1")), 200),
    "silent": ((("Content-Type", "text/plain"),), 200),
    "silent and odd": ((), 299),
    "varied": ((("Vary", "*"), ("Cache-Control", "max-age=60")), 200),
    "no-cache": ((("Cache-Control", "no-cache"),), 200),
    "expired": ((("Expires", TODAY), ("Date", TODAY)), 200),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_what_is_told_is_what_the_long_way_tells(stage: Stage, name: str) -> None:
    fields, status = ANSWERS[name]
    never = await passing(stage)
    stage.script.append(response(*fields, status=status))
    answer, exchange = await stage.ask(request())
    for _ in range(3):
        said = never.told(Said(*fields, status=status), stage.clock.now())
        assert said is not None
        assert (said.verdict, said.reason) == (exchange.verdict, exchange.reason)
        assert said.line.decode() == told(answer)


async def test_what_is_told_past_the_cache(stage: Stage) -> None:
    bypass = await asked(stage, wanted=request(NEVER))
    assert isinstance(bypass, PastTheCache)
    for status in (200, 201, 404):
        stage.script.append(response(status=status))
        answer, exchange = await stage.ask(request(NEVER))
        for _ in range(2):
            said = bypass.told(Said(status=status), 0.0)
            assert said == Told(Verdict.BYPASS, Reason.REQUEST_NO_STORE, told(answer).encode())
        assert (exchange.verdict, exchange.reason) == (Verdict.BYPASS, Reason.REQUEST_NO_STORE)


STORABLE: dict[str, tuple[Pair, ...]] = {
    "fresh": (("Cache-Control", "max-age=60"),),
    "validated": (("ETag", '"1"'),),
    "modified": (("Last-Modified", TODAY),),
    "no-cache with a validator": (("Cache-Control", "no-cache"), ("ETag", '"1"')),
    "expires": (("Expires", "Thu, 16 Jul 2026 12:50:00 GMT"),),
}


@pytest.mark.parametrize("name", STORABLE)
async def test_an_answer_that_may_be_kept_is_told_nobody(stage: Stage, name: str) -> None:
    never = await passing(stage)
    for _ in range(2):
        assert never.told(Said(*STORABLE[name]), stage.clock.now()) is None
    assert never.told(Said(NEVER, *STORABLE[name]), stage.clock.now()) is not None


async def test_what_depends_on_the_time_is_decided_anew(stage: Stage) -> None:
    never = await passing(stage)
    old = Said(("Expires", "Wed, 15 Jul 2026 12:50:10 GMT"))
    assert never.told(old, stage.clock.now()) is None
    stage.clock.time += 10
    assert never.told(old, stage.clock.now()) is not None
    stage.clock.time -= 10
    assert never.told(old, stage.clock.now()) is None


async def test_what_depends_on_another_field_is_decided_anew(stage: Stage) -> None:
    never = await passing(stage)
    expires = ("Expires", TODAY)
    assert never.told(Said(expires, ("Date", TODAY)), stage.clock.now()) is not None
    assert never.told(Said(expires, ("Date", "Wed, 15 Jul 2026 12:40:00 GMT")), stage.clock.now()) is None


_CONTROLS = ["no-store", "private", "max-age=5", "max-age=0", "no-cache", "public", "must-understand"]
_FIELD = st.one_of(
    st.tuples(st.just("Cache-Control"), st.lists(st.sampled_from(_CONTROLS), max_size=3).map(", ".join)),
    st.sampled_from(
        [
            *(("Expires", TODAY), ("Expires", "0"), ("Expires", "Wed, 15 Jul 2026 12:51:00 GMT")),
            *(("ETag", '"1"'), ("ETag", ""), ("Last-Modified", TODAY), ("Age", "3"), ("Age", "x")),
            *(("Vary", "*"), ("Vary", "Accept"), ("Set-Cookie", "a=1"), ("Date", TODAY), ("Date", "x")),
            *(
                ("Leeward-Cache-Control", "no-store"),
                ("CDN-Cache-Control", "max-age=9"),
                ("Pragma", "no-cache"),
            ),
            *(("Content-Type", "text/plain"), ("Surrogate-Key", "a"), ("Pragma", "no-cache")),
        ]
    ),
)
_STEP = st.tuples(st.lists(_FIELD, max_size=4), st.sampled_from([200, 201, 203, 299]), st.integers(0, 4))


@settings(deadline=None, max_examples=150)
@given(steps=st.lists(_STEP, max_size=6), shared=st.booleans(), authorized=st.booleans())
async def test_whatever_came_before_the_word_is_the_same(
    steps: list[tuple[list[Pair], int, int]], shared: bool, authorized: bool
) -> None:
    """One that remembers says at every moment what one that was made in it would say."""
    cache = CachePolicy(scope=Scope.SHARED if shared else Scope.CREDENTIAL)
    stage = Stage(replace(route(cache), injector=Changing()))  # type: ignore[arg-type]  # as above
    wanted = request(*([("Authorization", "x")] if authorized else []))
    remembering = await passing(stage, wanted=wanted)
    for fields, status, seconds in steps:
        stage.clock.time += seconds
        anew = await passing(stage, wanted=wanted)
        answer = Said(*fields, status=status)
        now = stage.clock.now()
        assert remembering.told(answer, now - 1) == anew.told(answer, now - 1)


async def test_what_is_remembered_is_bounded(stage: Stage) -> None:
    never = await passing(stage)
    for n in range(200):
        assert never.told(Said(NEVER, ("ETag", f'"{n}"')), stage.clock.now()) is not None
    assert len(never._known) <= 64


# What was asked for before a change is not kept


class Begun:
    """A core.ports.Begun."""

    traceparent = ""

    def __init__(self, since: float) -> None:
        self.since = since
        self.dropped = 0

    def drop(self) -> None:
        self.dropped += 1


async def begun(stage: Stage, since: float) -> tuple[Response, Exchange, Begun]:
    """The long way for what went out at second `since`."""
    exchange = Exchange(id="x", method="GET", target="/a", started=since, at=0.0)
    exchange.begun = out = Begun(since)

    async def fetch(sent: Request, record: Exchange) -> Response:
        record.attempts.append(Attempt(started=since))
        return await stage.origin(sent)

    return await stage.caching.answer(request(), stage.route, exchange, fetch), exchange, out


@pytest.mark.parametrize("change", ["purge", "invalidate"])
@pytest.mark.parametrize("later", [0.0, 1.0])
async def test_what_went_out_before_a_change_is_not_kept(stage: Stage, change: str, later: float) -> None:
    since = stage.clock.now()
    stage.clock.time += later
    if change == "purge":
        await stage.caching.purge(Purge())
    else:
        await stage.caching.invalidate(b"another place")
    stage.clock.time += 1
    stage.script.append(fresh())
    answer, exchange, _ = await begun(stage, since)
    assert "stored" not in told(answer)
    assert exchange.reason is Reason.CHANGED_MEANWHILE
    answer.body.close()
    assert stage.store.usage()[0] == 0


async def test_what_went_out_after_it_is(stage: Stage) -> None:
    await stage.caching.purge(Purge())
    stage.clock.time += 1
    stage.script.append(fresh())
    answer, exchange, out = await begun(stage, stage.clock.now())
    assert "; stored" in told(answer)
    assert await whole(answer.body) == b"body"
    assert (exchange.reason, out.dropped) == (Reason.URI_MISS, 0)
    assert stage.store.usage()[0] == 1


async def test_who_waits_for_what_another_fetches_gives_up_its_own(stage: Stage) -> None:
    """The other may be waiting for the very place that it holds."""
    stage.gate = asyncio.Event()
    stage.script.append(fresh())
    leader = asyncio.create_task(stage.get(request()))
    await settle()
    out = Begun(stage.clock.now())
    exchange = Exchange(id="x", method="GET", target="/a", started=0.0, at=0.0)
    exchange.begun = out
    follower = asyncio.create_task(stage.caching.answer(request(), stage.route, exchange, _nobody))
    await settle()
    assert (out.dropped, follower.done(), len(stage.asked)) == (1, False, 1)
    stage.gate.set()
    assert (await leader)[1] == b"body"
    assert await whole((await follower).body) == b"body"
    assert exchange.verdict is Verdict.COALESCED
