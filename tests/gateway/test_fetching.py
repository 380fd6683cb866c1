"""Many callers at once."""

import asyncio
from math import inf

import pytest

from proxy.core.caching.entry import Entry
from proxy.core.caching.policy import CachePolicy
from proxy.core.caching.purge import Purge
from proxy.core.exchange import Verdict
from proxy.core.failure import APIError, InternalError, UnavailableError, UpstreamProtocolError
from proxy.core.message import Request, Response, Whole
from proxy.core.reason import Reason
from tests.core.caching.samples import Pair, request, response, route
from tests.gateway.stage import Pipe, Stage, callers, fresh, go, quiet, settle, told, whole

TAGGED = ("ETag", '"a"')


def cc(value: str) -> Pair:
    return ("Cache-Control", value)


async def test_a_thousand_callers_one_fetch() -> None:
    stage = Stage()
    before = len(asyncio.all_tasks())
    source = Pipe()
    stage.script.append(fresh(body=source))
    tasks = await callers(stage, 1000)
    go(stage)
    await settle()
    for piece in (b"one ", b"two ", b"three"):
        source.put(piece)
        await settle()
    late = asyncio.create_task(stage.get(request()))
    await settle()
    source.put(None)
    got = await asyncio.gather(*tasks, late)
    assert {body for _, body in got} == {b"one two three"}
    assert len(stage.asked) == 1
    assert told(got[0][0]) == "leeward; fwd=uri-miss; fwd-status=200; stored; ttl=60"
    assert {told(answer) for answer, _ in got[1:]} == {
        "leeward; fwd=uri-miss; fwd-status=200; collapsed; ttl=60"
    }
    assert [e.verdict for e in stage.exchanges] == [Verdict.MISS, *[Verdict.COALESCED] * 1000]
    assert {e.reason for e in stage.exchanges} == {Reason.URI_MISS}
    assert got[1][0].headers.get("age") == "0"
    await quiet(stage, before)


async def test_followers_stream_along() -> None:
    stage = Stage()
    source = Pipe()
    stage.script.append(fresh(body=source))
    leader, _ = await stage.ask(request())
    follower, exchange = await stage.ask(request())
    assert exchange.verdict is Verdict.COALESCED
    for piece in (b"one", b"two"):
        source.put(piece)
        assert await leader.body.read() == piece
        assert await follower.body.read() == piece
    source.put(None)
    assert await whole(leader.body) == await whole(follower.body) == b""
    assert stage.store.usage()[0] == 1


async def test_a_leader_that_leaves_in_mid_body_does_not_fail_the_others() -> None:
    stage = Stage()
    source = Pipe(b"one")
    stage.script.append(fresh(body=source))
    leader, _ = await stage.ask(request())
    follower, _ = await stage.ask(request())
    leader.body.close()
    source.put(b"two", None)
    assert await whole(follower.body) == b"onetwo"
    assert (await stage.get(request()))[1] == b"onetwo"
    assert len(stage.asked) == 1


async def test_a_leader_killed_in_mid_body_before_a_thousand_others() -> None:
    stage = Stage()
    before = len(asyncio.all_tasks())
    source = Pipe(b"one")
    stage.script.append(fresh(body=source))
    tasks = await callers(stage, 1000)
    go(stage)
    await settle()
    tasks[0].cancel()
    await settle()
    source.put(b"two", None)
    got = await asyncio.gather(*tasks[1:])
    assert {body for _, body in got} == {b"onetwo"}
    assert len(stage.asked) == 1
    await quiet(stage, before)


async def test_when_all_have_left_the_upstream_is_closed_and_nothing_kept() -> None:
    stage = Stage()
    before = len(asyncio.all_tasks())
    source = Pipe(b"one")
    stage.script.append(fresh(body=source))
    answers = [(await stage.ask(request()))[0] for _ in range(3)]
    for answer in answers:
        early = source.closed
        answer.body.close()
    assert (early, source.closed) == (False, True)
    assert stage.store.usage() == (0, 0)
    await quiet(stage, before)


@pytest.mark.parametrize(
    "answer",
    [response(cc("max-age=60"), status=204), fresh(("Content-Length", "0"), body=Pipe(None, length=0))],
)
async def test_an_answer_without_content_is_kept_although_nobody_reads_it(answer: Response) -> None:
    stage = Stage()
    before = len(asyncio.all_tasks())
    stage.script.append(answer)
    (await stage.ask(request()))[0].body.close()
    await settle()
    again, _ = await stage.ask(request())
    assert told(again) == "leeward; hit; ttl=60"
    assert again.status == answer.status
    await quiet(stage, before)


async def test_a_cut_body_fails_every_reader_and_is_never_a_hit() -> None:
    stage = Stage()
    source = Pipe(b"one")
    stage.script += [fresh(body=source), fresh()]
    answers = [(await stage.ask(request()))[0] for _ in range(3)]
    source.put(UpstreamProtocolError("cut"))
    for answer in answers:
        with pytest.raises(UpstreamProtocolError, match="cut"):
            await whole(answer.body)
    assert (await stage.get(request()))[1] == b"body"
    assert len(stage.asked) == 2


async def test_a_body_of_another_length_than_announced_is_never_a_hit() -> None:
    stage = Stage()
    stage.script += [fresh(("Content-Length", "5")), fresh()]
    answer, _ = await stage.ask(request())
    with pytest.raises(UpstreamProtocolError):
        await whole(answer.body)
    assert (await stage.get(request()))[1] == b"body"


@pytest.mark.parametrize("error", [UnavailableError("down"), None])
async def test_a_leader_that_fails_or_leaves_before_the_head_is_followed_by_one(
    error: APIError | None,
) -> None:
    stage = Stage()
    before = len(asyncio.all_tasks())
    stage.script += [error or fresh(), fresh()]
    tasks = await callers(stage, 50)
    if error is None:
        tasks[0].cancel()
        await settle()
    go(stage)
    first, *others = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(first, UnavailableError if error else asyncio.CancelledError)
    assert {got[1] for got in others if isinstance(got, tuple)} == {b"body"}
    assert len(others) == 49
    assert len(stage.asked) == 2
    await quiet(stage, before)


@pytest.mark.parametrize("wish", ["no-cache", "max-age=0", "min-fresh=600"])
@pytest.mark.parametrize("stored", [False, True])
async def test_who_wants_an_answer_of_its_own_waits_for_nobody_elses(wish: str, stored: bool) -> None:
    stage = Stage()
    if stored:
        stage.script.append(fresh(("ETag", '"1"'), body=b"stored"))
        await stage.get(request())
        stage.clock.time += 61
    stage.script += [fresh(body=b"early"), fresh(body=b"asked for")]
    tasks = await callers(stage, 2, request(), request(("Cache-Control", wish)))
    alone = stored or wish == "no-cache"  # where nothing is stored, the answer on its way is fresh enough
    assert len(stage.asked) == 1 + stored + alone
    go(stage)
    bodies = [body for _, body in await asyncio.gather(*tasks)]
    assert bodies == ([b"early", b"asked for"] if alone else [b"early"] * 2)


async def test_a_second_failure_is_shared() -> None:
    stage = Stage()
    before = len(asyncio.all_tasks())
    stage.script += [UnavailableError("one"), UnavailableError("two")]
    tasks = await callers(stage, 200)
    go(stage)
    got = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(error) for error in got] == ["one", *["two"] * 199]
    assert len({id(error) for error in got}) == 200
    assert len(stage.asked) == 2
    await quiet(stage, before)


async def test_our_own_bug_does_not_leave_anybody_waiting() -> None:
    stage = Stage()
    before = len(asyncio.all_tasks())
    stage.script += [ValueError("bug"), ValueError("bug")]
    tasks = await callers(stage, 3)
    go(stage)
    got = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in got] == [ValueError, ValueError, InternalError]
    await quiet(stage, before)


async def test_leaders_that_are_killed_one_after_the_other() -> None:
    stage = Stage()
    before = len(asyncio.all_tasks())
    stage.script += [fresh() for _ in range(20)]
    tasks = await callers(stage, 20)
    for task in tasks[:-1]:
        task.cancel()
        await settle()
    go(stage)
    assert (await tasks[-1])[1] == b"body"
    await quiet(stage, before)


async def test_what_cannot_be_shared_frees_all_at_once() -> None:
    stage = Stage()
    before = len(asyncio.all_tasks())
    stage.script += [response(cc("no-store"), body=Whole(b"%d" % n)) for n in range(12)]
    tasks = await callers(stage, 10)
    assert len(stage.asked) == 1
    go(stage)
    got = await asyncio.gather(*tasks)
    assert len({body for _, body in got}) == 10
    # Nobody waits for nobody while that is remembered.
    stage.gate = None
    block = asyncio.Event()

    async def blocked(_: Request) -> Response:
        await block.wait()
        return response(cc("no-store"))

    stage.script.appendleft(blocked)
    slow = asyncio.create_task(stage.get(request()))
    await settle()
    assert (await stage.get(request()))[0].status == 200
    assert not slow.done()
    block.set()
    await slow
    await quiet(stage, before)


async def test_the_verdict_is_forgotten() -> None:
    stage = Stage()
    stage.script += [response(), fresh()]
    await stage.get(request())
    stage.clock.time += 11
    tasks = await callers(stage, 5)
    go(stage)
    assert [body for _, body in await asyncio.gather(*tasks)] == [b"body"] * 5
    assert len(stage.asked) == 2


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_passing_trouble_is_no_verdict(status: int) -> None:
    stage = Stage()
    stage.script += [response(status=status), fresh()]
    await stage.get(request())
    tasks = await callers(stage, 5)
    go(stage)
    await asyncio.gather(*tasks)
    assert len(stage.asked) == 2


async def test_callers_of_other_variants_share_among_themselves() -> None:
    stage = Stage()
    before = len(asyncio.all_tasks())

    async def speak(wanted: Request) -> Response:
        language = wanted.headers.get("accept-language") or ""
        return fresh(("Vary", "Accept-Language"), body=language.encode())

    stage.script += [speak] * 3
    languages = [request(("Accept-Language", name)) for name in ("de", "en", "fr")]
    tasks = await callers(stage, 30, *languages)
    go(stage)
    got = await asyncio.gather(*tasks)
    assert [body for _, body in got] == [b"de", b"en", b"fr"] * 10
    assert len(stage.asked) == 3
    await quiet(stage, before)


async def test_a_vary_that_changes_with_each_answer_ends() -> None:
    stage = Stage()
    before = len(asyncio.all_tasks())
    count = 0

    async def fickle(wanted: Request) -> Response:
        nonlocal count
        count += 1
        return fresh(("Vary", f"X-{count}"), body=(wanted.headers.get("x-id") or "").encode())

    def asked(number: int) -> Request:
        return request(("X-Id", str(number)), *((f"X-{n}", str(number)) for n in range(1, 9)))

    stage.script += [fickle] * 8
    tasks = await callers(stage, 8, *(asked(number) for number in range(8)))
    go(stage)
    assert [body for _, body in await asyncio.gather(*tasks)] == [b"%d" % number for number in range(8)]
    await quiet(stage, before)


async def test_too_large_by_its_announcement() -> None:
    stage = Stage(route(CachePolicy(max_entry_bytes=2000)))
    body = Pipe(b"x" * 3000, None, length=3000)
    stage.script.append(fresh(body=body))
    answer, exchange = await stage.ask(request())
    assert answer.body is body
    assert told(answer).endswith("detail=too-large")
    assert exchange.reason is Reason.TOO_LARGE


async def test_too_large_by_its_bytes() -> None:
    stage = Stage(route(CachePolicy(max_entry_bytes=2000)))
    before = len(asyncio.all_tasks())
    later = Pipe(b"x" * 3000, None)
    stage.script += [fresh(body=Pipe(b"x" * 3000, None)), fresh(body=later), fresh(("Content-Length", "4"))]
    answer, body = await stage.get(request())
    assert len(body) == 3000
    assert told(answer).endswith("stored; ttl=60")
    assert stage.store.usage() == (0, 0)
    # Next time it is not even tried, unless it says that it is small.
    answer, _ = await stage.ask(request())
    assert answer.body is later
    assert told(answer).endswith("detail=too-large")
    assert told((await stage.get(request()))[0]).endswith("stored; ttl=60")
    await quiet(stage, before)


async def test_a_change_during_the_fetch_is_not_lost() -> None:
    stage = Stage()
    before = len(asyncio.all_tasks())
    source = Pipe(b"old")
    stage.script += [fresh(body=source), response(status=204), fresh(body=b"new")]
    leader, _ = await stage.ask(request())
    await stage.get(request(method="DELETE"))
    assert (await stage.get(request()))[1] == b"new"
    source.put(None)
    assert await whole(leader.body) == b"old"
    assert (await stage.get(request()))[1] == b"new"
    await quiet(stage, before)


async def test_a_change_before_the_head_is_not_lost() -> None:
    stage = Stage()
    stage.script += [fresh(body=b"old"), fresh(body=b"new")]
    tasks = await callers(stage, 2)
    assert await stage.caching.purge(Purge()) == 0
    go(stage)
    got = await asyncio.gather(*tasks)
    assert [body for _, body in got] == [b"old", b"old"]
    assert told(got[0][0]) == "leeward; fwd=uri-miss; fwd-status=200; ttl=60; detail=changed-meanwhile"
    assert stage.exchanges[0].reason is Reason.CHANGED_MEANWHILE
    assert (await stage.get(request()))[1] == b"new"


async def test_the_store_is_told_since_when_a_change_concerns_it() -> None:
    stage = Stage()
    told: list[tuple[float, float]] = []
    began = stage.clock.time

    async def noted(key: object, entry: Entry, *, asked: float = inf) -> bool:
        told.append((asked, entry.received))
        return True

    stage.store.keep = noted  # type: ignore[method-assign] # the stage's store is made for that

    async def late(_request: object) -> Response:
        stage.clock.time += 5
        return fresh()

    stage.script.append(late)
    await stage.get(request())
    assert told == [(began, began + 5)]


async def test_a_change_while_it_is_being_stored_is_not_lost() -> None:
    stage = Stage()
    stage.script.append(fresh())
    keep = stage.store.keep

    async def slow(key: object, entry: object, *, asked: float = inf) -> bool:
        kept = await keep(key, entry, asked=asked)  # type: ignore[arg-type] # passed through
        stage.caching._flights.purge(Purge())
        return kept

    stage.store.keep = slow  # type: ignore[method-assign] # slows it
    await stage.get(request())
    assert stage.store.usage() == (0, 0)
