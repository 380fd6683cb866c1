"""Parts are cut out of what is stored, kept, put together and completed, and never taken for a whole."""

import asyncio

import pytest

from proxy.core.failure import APIError
from proxy.core.message import Response
from tests.core.caching.samples import Pair, request, response
from tests.gateway.stage import FRESH, Pipe, Stage, callers, fresh, go, quiet, settle, told

ALL = b"0123456789"
TAGGED = ("ETag", '"a"')


def ranged(wanted: str, *fields: Pair) -> tuple[Pair, ...]:
    return (("Range", f"bytes={wanted}"), *fields)


def part(first: int, last: int, *fields: Pair, length: int | None = None) -> Response:
    size = last - first + 1 if length is None else length
    place = [("Content-Range", f"bytes {first}-{last}/10"), ("Content-Length", str(size))]
    data = ALL[first : last + 1][:size]
    return response(FRESH, *place, *(fields or (TAGGED,)), status=206, body=Pipe(data, None, length=size))


async def read(stage: Stage, *fields: Pair) -> tuple[int, bytes, str]:
    answer, body = await stage.get(request(*fields))
    await settle()
    return answer.status, body, told(answer)


async def test_a_part_of_what_is_stored_whole() -> None:
    stage = Stage()
    stage.script.append(fresh(body=ALL))
    await read(stage)
    assert await read(stage, *ranged("2-4")) == (206, b"234", "leeward; hit; ttl=60")


async def test_what_is_stored_has_no_such_bytes_so_the_origin_says_it() -> None:
    stage = Stage()
    stage.script.extend([fresh(body=ALL), response(("Content-Range", "bytes */10"), status=416)])
    await read(stage)
    status, _, line = await read(stage, *ranged("10-"))
    assert (status, line) == (416, "leeward; fwd=bypass; fwd-status=416; detail=uncacheable-status")
    assert stage.asked[-1].headers.get("range") == "bytes=10-"


async def test_a_part_is_kept_and_gives_smaller_ones() -> None:
    stage = Stage()
    stage.script.append(part(2, 7))
    first = await read(stage, *ranged("2-7"))
    assert first == (206, b"234567", "leeward; fwd=uri-miss; fwd-status=206; stored; ttl=60")
    assert await read(stage, *ranged("2-7")) == (206, b"234567", "leeward; hit; ttl=60")
    assert await read(stage, *ranged("4-5")) == (206, b"45", "leeward; hit; ttl=60")
    assert len(stage.asked) == 1


async def test_parts_are_put_together_until_they_are_a_whole() -> None:
    stage = Stage()
    stage.script.extend([part(0, 3), part(4, 6), part(7, 9)])
    await read(stage, *ranged("0-3"))
    second = await read(stage, *ranged("4-6"))
    assert second == (206, b"456", "leeward; fwd=partial; fwd-status=206; stored; ttl=60; detail=part-miss")
    assert (await read(stage, *ranged("2-5")))[1] == b"2345"
    await read(stage, *ranged("-3"))
    answer, body = await stage.get(request())
    assert (answer.status, body, told(answer)) == (200, ALL, "leeward; hit; ttl=60")
    assert answer.headers.all("content-length") == ["10"]
    assert "content-range" not in answer.headers


@pytest.mark.parametrize(
    ("kept", "rest", "asked"),
    [((0, 3), (4, 9), "bytes=4-"), ((4, 9), (0, 3), "bytes=0-3")],
    ids=["the end is missing", "the begin is missing"],
)
async def test_a_part_is_completed(kept: tuple[int, int], rest: tuple[int, int], asked: str) -> None:
    stage = Stage()
    before = len(asyncio.all_tasks())
    stage.script.extend([part(*kept), part(*rest)])
    await read(stage, *ranged(f"{kept[0]}-{kept[1]}"))
    answer, body = await stage.get(request())
    assert (answer.status, body) == (200, ALL)
    assert told(answer) == "leeward; fwd=partial; fwd-status=200; stored; ttl=60; detail=part-miss"
    assert answer.headers.all("content-length") == ["10"]
    sent = stage.asked[-1].headers
    assert (sent.get("range"), sent.get("if-range")) == (asked, '"a"')
    assert await read(stage) == (200, ALL, "leeward; hit; ttl=60")
    await quiet(stage, before)


async def test_all_who_wait_get_the_completed_whole() -> None:
    stage = Stage()
    stage.script.append(part(0, 3))
    await read(stage, *ranged("0-3"))
    stage.script.append(part(4, 9))
    tasks = await callers(stage, 20)
    go(stage)
    assert {body for _, body in await asyncio.gather(*tasks)} == {ALL}
    assert len(stage.asked) == 2


@pytest.mark.parametrize(
    "answers",
    [
        [fresh(("ETag", '"b"'), body=b"changed")],
        [part(4, 9, ("ETag", '"b"')), fresh(body=b"changed")],
        [part(5, 9), fresh(body=b"changed")],
        [response(status=416), fresh(body=b"changed")],
    ],
    ids=["changed", "another's part", "another part", "refused"],
)
async def test_what_does_not_complete_is_not_put_together(answers: list[Response]) -> None:
    stage = Stage()
    stage.script.extend([part(0, 3), *answers])
    await read(stage, *ranged("0-3"))
    assert (await read(stage))[:2] == (200, b"changed")
    assert (len(stage.asked) == 3) is (len(answers) == 2)
    assert (await read(stage))[1] == b"changed"


async def test_a_completion_that_is_cut_is_visibly_broken_and_not_kept() -> None:
    stage = Stage()
    short = response(FRESH, TAGGED, ("Content-Range", "bytes 4-9/10"), status=206, body=Pipe(b"45", None))
    stage.script.extend([part(0, 3), short])
    await read(stage, *ranged("0-3"))
    with pytest.raises(APIError):
        await stage.get(request())
    stage.script.append(fresh(body=b"anew"))
    assert (await read(stage))[:2] == (200, b"anew")


@pytest.mark.parametrize(
    ("came", "asked"),
    [
        (part(0, 4, length=4), "0-4"),
        (response(FRESH, TAGGED, status=206, body=Pipe(b"01", None)), "0-1"),
        (part(0, 4, ("Cache-Control", "no-store")), "0-4"),
    ],
    ids=["another length", "no place", "not to be stored"],
)
async def test_what_is_no_proper_part_passes_and_is_not_kept(came: Response, asked: str) -> None:
    stage = Stage()
    stage.script.extend([came, fresh(body=ALL)])
    assert (await read(stage, *ranged(asked)))[0] == 206
    assert (await read(stage))[1] == ALL
    assert "range" not in stage.asked[-1].headers


async def test_an_unasked_part_is_not_kept() -> None:
    stage = Stage()
    stage.script.extend([part(0, 4), fresh(body=ALL)])
    assert (await read(stage))[:2] == (206, b"01234")
    assert (await read(stage))[:2] == (200, ALL)


async def test_a_stale_part_is_fetched_anew() -> None:
    stage = Stage()
    stage.script.extend([part(0, 4), part(0, 4)])
    await read(stage, *ranged("0-4"))
    stage.clock.time += 61
    assert (await read(stage, *ranged("0-4")))[
        2
    ] == "leeward; fwd=stale; fwd-status=206; stored; ttl=60; detail=expired"
    assert "if-none-match" not in stage.asked[-1].headers
