"""A POST that tells what its target has become spares the next caller a fetch, and nobody else's is given."""

import asyncio

from proxy.core.caching.policy import CachePolicy, Scope
from proxy.core.exchange import Verdict
from proxy.core.message import Whole
from proxy.core.reason import Reason
from tests.core.caching.samples import Pair, request, response, route
from tests.gateway.stage import FRESH, Pipe, Stage, fresh, quiet, settle, told

HERE = ("Content-Location", "/a")
SHARED = route(CachePolicy(scope=Scope.SHARED))


async def posted(stage: Stage, *answered: Pair, asked: tuple[Pair, ...] = ()) -> str:
    """A POST's Cache-Status."""
    stage.script.append(response(FRESH, *answered, body=Whole(b"new")))
    answer, body = await stage.get(request(*asked, method="POST", body=Whole(b"content")))
    assert body == b"new"
    await settle()
    return told(answer)


async def test_what_is_told_of_the_target_is_kept_in_place_of_what_was() -> None:
    stage = Stage()
    before = len(asyncio.all_tasks())
    stage.script.append(fresh(body=b"old"))
    await stage.get(request())
    assert await posted(stage, HERE) == "leeward; fwd=method; fwd-status=200; stored; ttl=60"
    assert (stage.exchanges[-1].verdict, stage.exchanges[-1].reason) == (Verdict.BYPASS, Reason.METHOD)
    answer, body = await stage.get(request())
    assert (body, told(answer)) == (b"new", "leeward; hit; ttl=60")
    await quiet(stage, before)


async def test_the_next_post_goes_upstream_all_the_same() -> None:
    stage = Stage()
    await posted(stage, HERE)
    await posted(stage, HERE)
    assert [sent.method for sent in stage.asked] == ["POST", "POST"]


async def test_otherwise_nothing_is_kept() -> None:
    for fields in ([], [("Content-Location", "/b")], [HERE, ("Set-Cookie", "a=b")], [HERE, ("Vary", "*")]):
        stage = Stage()
        await posted(stage, *fields)
        stage.script.append(fresh(body=b"got"))
        assert (await stage.get(request()))[1] == b"got"


async def test_it_is_the_posters_alone_where_it_says_who_it_is() -> None:
    for on, asked in ((None, ("Cookie", "me")), (SHARED, ("Authorization", "me"))):
        stage = Stage(on)
        await posted(stage, HERE, asked=(asked,))
        stage.script.append(fresh(body=b"got"))
        assert (await stage.get(request()))[1] == b"got"


async def test_where_gets_are_not_cached_nothing_is_kept() -> None:
    stage = Stage(route(CachePolicy(methods=frozenset({"POST"}), override_ttl=5)))
    big = Pipe(b"x" * 300_000, None, length=300_000)
    stage.script.append(response(FRESH, HERE, body=Whole(b"new")))
    answer, _ = await stage.get(request(method="POST", body=big))
    assert told(answer) == "leeward; fwd=bypass; fwd-status=200; detail=request-body"
