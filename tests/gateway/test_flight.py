import asyncio
from collections.abc import Coroutine
from dataclasses import replace

from proxy.core.allowance import Allowance
from proxy.core.caching.purge import Purge
from proxy.core.failure import DeadlineExceededError, UnavailableError
from proxy.gateway.fill import Fill
from proxy.gateway.flight import Confirmed, Failed, Flight, Flights, Freed, Joined, Lead, Outcome
from proxy.gateway.refresh import Refresh
from tests.core.caching.samples import entry
from tests.gateway.stage import Pipe, settle, whole

KEPT = entry(("Cache-Control", "max-age=60"), body=b"stored")


async def waiting(flight: Flight, count: int) -> list[asyncio.Task[Outcome]]:
    tasks = [asyncio.create_task(flight.join()) for _ in range(count)]
    await settle()
    return tasks


def filling(source: Pipe, flights: Flights, flight: Flight) -> Fill:
    async def kept(content: bytes) -> None:
        pass

    return Fill(
        source,
        limit=1 << 20,
        length=source.length,
        allowance=Allowance(1 << 20),
        kept=kept,
        ended=lambda: flights.close(flight),
    )


def opened() -> tuple[Flights, Flight]:
    flights = Flights()
    return flights, flights.open(b"id", b"place")


async def outcomes(*tasks: Coroutine[object, object, Outcome] | asyncio.Task[Outcome]) -> list[Outcome]:
    return list(await asyncio.gather(*tasks))


async def test_who_opens_leads_and_others_find_it() -> None:
    flights, flight = opened()
    assert flights.find(b"id") is flight
    assert flights.find(b"other") is None
    flights.close(flight)
    flights.close(flight)
    assert flights.find(b"id") is None
    assert (len(flights), flights.landings) == (0, 1)


async def test_one_that_is_not_shared_is_not_found() -> None:
    flights = Flights()
    flight = flights.open(b"id", b"place", shared=False)
    assert flights.find(b"id") is None
    flights.doom(b"place")
    assert flight.doomed()


async def test_a_leader_that_leaves_wakes_one() -> None:
    flights, flight = opened()
    tasks = await waiting(flight, 3)
    flight.pass_on(None)
    await settle()
    assert [task.done() for task in tasks] == [True, False, False]
    assert tasks[0].result() == Lead()
    for _ in range(2):
        flight.pass_on(None)
    assert await outcomes(*tasks[1:]) == [Lead(), Lead()]
    flight.pass_on(None)
    assert flights.find(b"id") is None


async def test_a_second_failure_is_shared_by_who_waits() -> None:
    flights, flight = opened()
    tasks = await waiting(flight, 200)
    flight.pass_on(UnavailableError("one"))
    await settle()
    assert sum(task.done() for task in tasks) == 1
    error = UnavailableError("two")
    flight.pass_on(error)
    assert await outcomes(*tasks[1:]) == [Failed(error=error)] * 199
    assert flights.find(b"id") is None


async def test_leaders_whose_own_time_is_over_fail_nobody_else() -> None:
    _, flight = opened()
    tasks = await waiting(flight, 4)
    for _ in range(4):
        flight.pass_on(DeadlineExceededError())
    assert await outcomes(*tasks) == [Lead()] * 4


async def test_leaders_that_leave_are_no_failures() -> None:
    _, flight = opened()
    tasks = await waiting(flight, 4)
    for _ in range(3):
        flight.pass_on(None)
    flight.pass_on(UnavailableError())
    assert await outcomes(*tasks) == [Lead()] * 4


async def test_freed_together() -> None:
    flights, flight = opened()
    tasks = await waiting(flight, 3)
    flight.free()
    assert await outcomes(*tasks) == [Freed()] * 3
    assert flights.find(b"id") is None


async def test_landing_gives_each_a_reader() -> None:
    flights, flight = opened()
    tasks = await waiting(flight, 2)
    source = Pipe()
    fill = filling(source, flights, flight)
    leader = fill.reader()
    flight.land(KEPT, fill)
    refresh = Refresh()
    fill.start(refresh)
    joined = [*await outcomes(*tasks), await flight.join()]
    source.put(b"body", None)
    for outcome in joined:
        assert isinstance(outcome, Joined)
        assert outcome.entry is KEPT
        assert await whole(outcome.reader) == b"body"
    assert await whole(leader) == b"body"
    assert flights.find(b"id") is None


async def test_confirmed_is_told_to_waiters_and_newcomers() -> None:
    flights, flight = opened()
    tasks = await waiting(flight, 2)
    flight.confirm(KEPT)
    assert await outcomes(*tasks, flight.join()) == [Confirmed(entry=KEPT)] * 3
    flights.close(flight)
    assert flights.find(b"id") is None
    Confirmed(entry=KEPT).release()


async def test_a_waiter_that_leaves_is_forgotten() -> None:
    flights, flight = opened()
    tasks = await waiting(flight, 3)
    tasks[0].cancel()
    await settle()
    flight.pass_on(None)
    assert await outcomes(tasks[1]) == [Lead()]
    tasks[2].cancel()
    await settle()
    flight.pass_on(None)
    assert flights.find(b"id") is None


async def test_the_lead_is_handed_on_by_one_who_left_at_that_moment() -> None:
    _, flight = opened()
    tasks = await waiting(flight, 3)
    flight.pass_on(None)
    tasks[0].cancel()  # woken, but it has not run yet
    await settle()
    assert tasks[0].cancelled()
    assert tasks[1].result() == Lead()
    assert not tasks[2].done()
    tasks[2].cancel()
    await settle()


async def test_a_reader_is_closed_by_one_who_left_at_that_moment() -> None:
    flights, flight = opened()
    tasks = await waiting(flight, 1)
    source = Pipe()
    fill = filling(source, flights, flight)
    leader = fill.reader()
    flight.land(KEPT, fill)
    fill.start(Refresh())
    tasks[0].cancel()
    await settle()
    early = source.closed
    leader.close()
    assert (early, source.closed) == (False, True)
    await settle()


async def test_what_changed_meanwhile_is_joined_by_nobody_new_and_not_kept() -> None:
    for before in (True, False):
        flights, flight = opened()
        tasks = await waiting(flight, 1)
        source = Pipe()
        fill = filling(source, flights, flight)
        leader = fill.reader()
        if before:
            flights.doom(b"place")
        flight.land(KEPT, fill)
        flights.purge(Purge())
        fill.start(Refresh())
        assert flight.doomed()
        assert flights.find(b"id") is None
        assert not fill.joinable
        source.put(b"body", None)
        (outcome,) = await outcomes(*tasks)
        assert isinstance(outcome, Joined)
        assert await whole(leader) == b"body"
        assert await whole(outcome.reader) == b"body"


async def test_a_newer_flight_is_not_closed_by_an_older_one() -> None:
    flights, old = opened()
    flights.doom(b"place")
    new = flights.open(b"id", b"place")
    flights.close(old)
    assert flights.find(b"id") is new
    flights.doom(b"elsewhere")
    assert not new.doomed()


async def test_purging_one_upstream_leaves_the_others_flights() -> None:
    flights = Flights()
    mine = flights.open(b"1", b"a", upstream="mine")
    theirs = flights.open(b"2", b"b", upstream="theirs")
    flights.purge(Purge(upstream="mine"))
    assert (mine.doomed(), theirs.doomed()) == (True, False)
    assert (flights.find(b"1"), flights.find(b"2")) == (None, theirs)


async def test_purging_a_path_leaves_the_others_flights() -> None:
    flights = Flights()
    here = flights.open(b"1", b"a", upstream="api", target="/a/b?c=/d")
    there = flights.open(b"2", b"b", upstream="api", target="/d/b")
    flights.purge(Purge(path="/a/*"))
    assert (here.doomed(), there.doomed()) == (True, False)


async def test_a_purged_tag_is_known_when_the_head_comes() -> None:
    """Until then nobody new joins, and afterwards only what has the tag is lost."""
    for carried, lost in ((("red",), True), (("blue",), False)):
        flights, flight = opened()
        tasks = await waiting(flight, 1)
        flights.purge(Purge(tag="red"))
        assert (flights.find(b"id"), flight.doomed()) == (None, False)
        entry, source = replace(KEPT, tags=carried), Pipe(b"body", None)
        fill = filling(source, flights, flight)
        leader = fill.reader()
        flight.land(entry, fill)
        assert (flight.doomed(), fill.joinable, flight.keeps(entry)) == (lost, not lost, not lost)
        fill.start(Refresh())
        (outcome,) = await outcomes(*tasks)
        assert isinstance(outcome, Joined)
        assert await whole(outcome.reader) == await whole(leader) == b"body"


async def test_a_tag_that_is_purged_after_the_head_dooms_what_has_it() -> None:
    for confirmed in (True, False):
        for carried, lost in ((("red",), True), (("blue",), False)):
            flights, flight = opened()
            entry = replace(KEPT, tags=carried)
            if confirmed:
                flight.confirm(entry)
            else:
                fill = filling(Pipe(), flights, flight)
                leader = fill.reader()
                flight.land(entry, fill)
            flights.purge(Purge(tag="red"))
            assert flight.doomed() is lost
            assert flights.find(b"id") is (None if lost else flight)
            if not confirmed:
                leader.close()


async def test_a_flight_that_is_told_of_many_tags_takes_them_for_its_own() -> None:
    flights, flight = opened()
    for number in range(64):
        flights.purge(Purge(tag=str(number)))
    assert not flight.doomed()
    flights.purge(Purge(tag="one more"))
    assert flight.doomed()
