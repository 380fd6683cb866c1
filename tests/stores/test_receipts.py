"""Are first answers kept for their time, and never beyond so many bytes?"""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.message import Headers
from proxy.core.resilience.receipt import Receipt
from proxy.stores.receipts import MemoryReceipts
from tests.gateway.stage import Hands


def receipt(body: bytes = b"done") -> Receipt:
    return Receipt(mark=b"m", status=200, headers=Headers.of(("A", "b")), body=body, received=0.0)


COST = receipt().size + 350


async def test_what_is_kept_is_found_until_its_time_is_over() -> None:
    clock = Hands()
    kept = MemoryReceipts(max_bytes=10_000, clock=clock)
    assert await kept.load(b"a") is None
    assert await kept.keep(b"a", receipt(), ttl=60.0)
    assert await kept.load(b"a") == receipt()
    assert kept.usage() == (1, COST)
    clock.time += 60.0
    assert await kept.load(b"a") is None
    assert kept.usage() == (0, 0)


async def test_the_oldest_goes_when_room_is_needed_and_it_is_said() -> None:
    evicted: list[str] = []
    kept = MemoryReceipts(max_bytes=2 * COST, clock=Hands(), on_evict=evicted.append)
    for place in (b"a", b"b", b"c"):
        assert await kept.keep(place, receipt(), ttl=60.0)
    assert [await kept.load(place) is None for place in (b"a", b"b", b"c")] == [True, False, False]
    assert evicted == ["idempotency"]


async def test_what_is_over_goes_first_and_unsaid() -> None:
    clock, evicted = Hands(), list[str]()
    kept = MemoryReceipts(max_bytes=3 * COST, clock=clock, on_evict=evicted.append)
    await kept.keep(b"a", receipt(), ttl=1.0)
    clock.time += 2.0
    await kept.keep(b"b", receipt(), ttl=60.0)
    assert (kept.usage(), evicted) == ((1, COST), [])


async def test_what_is_kept_anew_is_the_newest() -> None:
    kept = MemoryReceipts(max_bytes=2 * COST, clock=Hands())
    for place in (b"a", b"b", b"a", b"c"):
        await kept.keep(place, receipt(), ttl=60.0)
    assert await kept.load(b"b") is None
    assert kept.usage() == (2, 2 * COST)


async def test_what_is_larger_than_all_is_not_kept() -> None:
    kept = MemoryReceipts(max_bytes=COST, clock=Hands())
    await kept.keep(b"a", receipt(), ttl=60.0)
    assert not await kept.keep(b"b", receipt(b"longer"), ttl=60.0)
    assert await kept.load(b"a") is not None


@given(st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c", b"d"]), st.integers(0, 900)), max_size=30))
async def test_never_more_than_so_many_bytes(turns: list[tuple[bytes, int]]) -> None:
    kept = MemoryReceipts(max_bytes=3000, clock=Hands())
    for place, length in turns:
        await kept.keep(place, receipt(bytes(length)), ttl=60.0)
        assert kept.usage()[1] <= 3000
        found = [await kept.load(name) for name in (b"a", b"b", b"c", b"d")]
        assert kept.usage() == (
            sum(one is not None for one in found),
            sum(one.size + 350 for one in found if one is not None),
        )


def test_the_bytes_are_about_what_the_interpreter_needs() -> None:
    one = receipt()
    name, value = one.headers.fields[0]
    needed = sum(map(sys.getsizeof, (one, one.headers, one.headers.fields, name, value, one.body, one.mark)))
    assert needed <= one.size
