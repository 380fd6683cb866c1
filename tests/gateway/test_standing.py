"""What was asked about is kept anew only while it is still what is stored."""

from dataclasses import replace

import pytest

from proxy.core.caching.entry import Entry
from proxy.core.caching.key import Key, identify
from proxy.core.caching.purge import Purge
from proxy.core.exchange import Exchange
from proxy.core.message import Request, Response
from proxy.gateway.fetching import Call
from proxy.gateway.flight import Flights
from proxy.gateway.standing import stands
from proxy.stores.memory import MemoryStore
from tests.core.caching.samples import SECRET, entry, request, route
from tests.gateway.stage import FRESH

OLD = entry(FRESH, ("Cache-Tag", "red"), ("Vary", "Accept"), body=b"old")
NEWER = replace(OLD, received=OLD.received + 1)


async def asked(*stored: Entry, purged: Purge | None = None) -> bool:
    wanted = request()
    key = identify(wanted, route(), secret=SECRET)
    assert isinstance(key, Key)
    store, flights = MemoryStore(max_bytes=1 << 20, max_entry_bytes=1 << 19), Flights()
    for one in stored:
        await store.keep(key, one)
    flight = flights.open(b"id", key.place, upstream=key.upstream, target=key.target)
    if purged is not None:
        flights.purge(purged)

    async def fetch(_request: Request, _record: Exchange) -> Response:
        raise AssertionError("nothing is fetched")

    exchange = Exchange(id="x", method="GET", target="/a", started=0, at=0)
    call = Call(request=wanted, route=route(), key=key, exchange=exchange, fetch=fetch)
    return await stands(call, flight, OLD, store=store, secret=SECRET)


@pytest.mark.parametrize(
    ("stored", "answer"),
    [
        ([OLD], True),
        ([], True),  # it went for want of room, and may come back
        ([NEWER], False),
        ([replace(OLD, received=OLD.received - 1)], True),
        ([replace(NEWER, selection=b"another")], True),  # a variant that this caller would not get
        ([OLD, replace(NEWER, head_only=True)], True),
    ],
)
async def test_what_is_newer_stays(stored: list[Entry], answer: bool) -> None:
    assert await asked(*stored) is answer


@pytest.mark.parametrize(
    ("purged", "answer"),
    [
        (Purge(tag="red"), False),
        (Purge(path="/a"), False),
        (Purge(tag="blue"), True),
        (Purge(path="/b"), True),
    ],
)
async def test_what_is_purged_stays_away(purged: Purge, answer: bool) -> None:
    assert await asked(purged=purged) is answer
