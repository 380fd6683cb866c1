"""Is a body sent again exactly as it was sent, or not at all?"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.failure import BadRequestError
from proxy.core.message import Whole
from proxy.upstream.replay import ONE_WRITE, Replay, prepared, replayable
from tests.upstream.conftest import Pieces


async def everything(body: Whole | Replay) -> list[bytes]:
    pieces = []
    while piece := await body.read():
        pieces.append(piece)
    return pieces


@settings(deadline=None)
@given(
    pieces=st.lists(st.binary(min_size=1, max_size=9), max_size=9),
    cut=st.integers(0, 10),
    most=st.integers(0, 60),
)
async def test_what_is_read_again_is_what_was_read(pieces: list[bytes], cut: int, most: int) -> None:
    body = Replay(Pieces(*pieces), most)
    for _ in range(cut):
        await body.read()
    pulled = sum(map(len, pieces[:cut]))
    assert body.replayable is (pulled <= most)
    if body.replayable:
        body.rewind()
        assert await everything(body) == pieces
        assert await body.read() == b""


async def test_what_cannot_fit_is_not_kept() -> None:
    body = Replay(Pieces(b"abc", length=3), 2)
    assert body.replayable
    body.rewind()
    assert await body.read() == b"abc"
    assert not body.replayable


async def test_a_small_body_is_gathered() -> None:
    body = await prepared(Pieces(b"ab", b"c", length=3), 10)
    assert isinstance(body, Whole)
    assert (body.data, replayable(body, 3), replayable(body, 2)) == (b"abc", True, False)


@pytest.mark.parametrize("length", [None, ONE_WRITE + 1])
async def test_a_large_or_endless_body_is_not(length: int | None) -> None:
    source = Pieces(b"abc", length=length)
    body = await prepared(source, 10**6)
    assert isinstance(body, Replay)
    assert (body.length, source.pulled, replayable(body, 10**6)) == (length, 0, True)
    body.close()
    assert source.left == []


@pytest.mark.parametrize("pieces", [(b"a",), (b"abc", b"d")])
async def test_a_small_body_of_another_length_than_said(pieces: tuple[bytes, ...]) -> None:
    with pytest.raises(BadRequestError):
        await prepared(Pieces(*pieces, length=3), 10)


async def test_a_whole_body_stays_itself() -> None:
    body = Whole(b"abc")
    assert await prepared(body, 0) is body
