from collections import OrderedDict
from hashlib import blake2b
from itertools import accumulate
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.stores.eviction import Ghosts, Queues

NOBODY = -1  # who is spared where nobody is


def name(number: int) -> bytes:
    return blake2b(b"%d" % number, digest_size=32).digest()


def weight(number: int) -> int:
    """Between 500 bytes and 4.5 KiB, the same for the same number."""
    return 500 + number * 2_654_435_761 % 4096


class Kept:
    """What a store does around the queues."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.queues = Queues(room)
        self.seats: dict[int, int] = {}
        self.numbers: dict[bytes, int] = {}
        self.gone: list[int] = []

    def ask(self, number: int, weighing: int | None = None) -> bool:
        """Whether it was there; it is now."""
        seat = self.seats.get(number)
        if seat is not None:
            self.queues.uses[seat] += 1
            return True
        self.numbers[name(number)] = number
        seat = self.seats[number] = self.queues.enter(name(number), weighing or weight(number))
        self.fit(seat)
        return False

    def fit(self, seat: int) -> None:
        while self.queues.weight > self.room:
            victim = self.queues.victim(seat)
            if victim is None:
                return
            self.gone.append(self.numbers[self.queues.names[victim]])
            self.leave(self.gone[-1])

    def leave(self, number: int) -> None:
        self.queues.leave(self.seats.pop(number))


class LeastRecent:
    """What it is compared with."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.kept: OrderedDict[int, int] = OrderedDict()
        self.weight = 0

    def ask(self, number: int) -> bool:
        if number in self.kept:
            self.kept.move_to_end(number)
            return True
        self.kept[number] = weight(number)
        self.weight += weight(number)
        while self.weight > self.room:
            self.weight -= self.kept.popitem(last=False)[1]
        return False


# The law, a line each


def test_what_is_new_goes_in_its_order() -> None:
    kept = Kept(1000)
    for number in range(15):
        kept.ask(number, 100)
    assert kept.gone == [0, 1, 2, 3, 4]


def test_what_was_asked_for_again_stays() -> None:
    kept = Kept(1000)
    for number in range(10):
        kept.ask(number, 100)
    kept.ask(3, 100)
    for number in range(10, 40):
        kept.ask(number, 100)
    assert 3 not in kept.gone
    assert len(kept.gone) == 30


def test_what_comes_back_soon_after_it_went_is_not_new() -> None:
    kept = Kept(20_000)
    for number in range(21):
        kept.ask(number, 1000)
    assert kept.gone == [0]
    kept.ask(0, 1000)
    for number in range(100, 200):
        kept.ask(number, 1000)
    assert kept.gone.count(0) == 1, "no scan moves it out"


def settled(queues: Queues, number: int) -> int:
    """One that came back soon after it went: it stands last in the main queue."""
    seat = queues.enter(name(number), 100_000)
    assert queues.victim(NOBODY) == seat
    queues.leave(seat)
    return queues.enter(name(number), 100_000)


@pytest.mark.parametrize(("uses", "rounds"), [(0, 0), (1, 1), (2, 2), (3, 3), (50, 3)])
def test_every_use_buys_a_round_and_three_at_most(uses: int, rounds: int) -> None:
    queues = Queues(500_000)
    one = settled(queues, 1)
    queues.uses[one] = uses
    others = [settled(queues, 2)]
    while (victim := queues.victim(NOBODY)) != one:
        assert victim == others[-1]
        queues.leave(victim)
        others.append(settled(queues, len(others) + 2))
    assert len(others) - 1 == rounds


def test_the_spared_one_stays_though_it_is_the_oldest() -> None:
    queues = Queues(100)
    one, two = queues.enter(name(1), 60), queues.enter(name(2), 60)
    assert queues.victim(one) == two
    queues.leave(two)
    assert queues.victim(one) is None
    assert queues.weight == 60


def test_a_seat_is_somebody_elses_only_when_it_is_free() -> None:
    queues = Queues(1000)
    one, two = queues.enter(name(1), 60), queues.enter(name(2), 70)
    queues.uses[one] = 9
    tables = queues.tables
    queues.leave(one)
    three = queues.enter(name(3), 80)
    assert three == one
    assert (queues.names[three], queues.uses[three], queues.weight) == (name(3), 0, 150)
    assert queues.tables == tables
    queues.leave(two)
    queues.leave(three)
    assert (queues.tables, queues.weight) == (0, 0), "where nobody is left, nothing is"


def test_one_look_for_room_ends_however_much_is_in_use() -> None:
    """Otherwise one new entry could pay for a round of all."""
    kept = Kept(500_000)
    for number in range(5000):
        kept.ask(number, 100)
    for seat in kept.seats.values():
        kept.queues.uses[seat] = 10
    kept.ask(5000, 100)
    assert len(kept.gone) == 1
    assert 0 < sum(kept.queues._paid[seat] > 0 for seat in kept.seats.values()) <= 500


# Models


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "ask", "leave", "weigh"]), st.integers(0, 25), st.integers(1, 400)
    ),
    max_size=200,
)


@given(_STEPS, st.integers(400, 3000))
def test_the_books_balance_and_nobody_is_lost(steps: list[tuple[str, int, int]], room: int) -> None:
    kept = Kept(room)
    for action, number, weighing in steps:
        seat = kept.seats.get(number)
        if action == "ask":
            kept.ask(number, weighing)
            assert number in kept.seats
        elif seat is not None and action == "leave":
            kept.leave(number)
        elif seat is not None:
            kept.queues.weigh(seat, weighing)
            kept.fit(seat)
        assert len(set(kept.seats.values())) == len(kept.seats)
        assert kept.queues.weight == sum(kept.queues._weights[seat] for seat in kept.seats.values()) <= room
        assert all(kept.queues.names[seat] == name(number) for number, seat in kept.seats.items())
    left = set()
    while (victim := kept.queues.victim(NOBODY)) is not None:
        left.add(kept.numbers[kept.queues.names[victim]])
        kept.queues.leave(victim)
    assert left == set(kept.seats)
    assert (kept.queues.weight, kept.queues.tables) == (0, 0)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=100), st.integers(1, 20))
def test_ghosts_are_of_names_that_went_lately(steps: list[tuple[bool, int]], most: int) -> None:
    ghosts = Ghosts(most)
    told: dict[int, int] = {}
    for time, (add, number) in enumerate(steps):
        if add:
            ghosts.add(name(number))
            told[number] = time
        elif ghosts.take(name(number)):
            assert sum(again for again, _ in steps[told.pop(number) + 1 : time]) < most
            assert not ghosts.take(name(number))
    assert ghosts.size == 8 * most


# What it is for


def trace(seed: int, *, skew: float, scans: bool) -> list[int]:
    """60,000 questions about 5,000 things, Zipf's way; now and then somebody reads 2,000 others once each."""
    chance, asked = Random(seed), list[int]()
    shares = list(accumulate(1 / rank**skew for rank in range(1, 5001)))
    fresh = 10_000
    for count, number in enumerate(chance.choices(range(5000), cum_weights=shares, k=60_000)):
        if scans and count and count % 4000 == 0:
            asked += range(fresh, fresh + 2000)
            fresh += 2000
        asked.append(number)
    return asked


def ratio(cache: Kept | LeastRecent, asked: list[int]) -> float:
    """Of the questions that are not a scan's, those answered from the cache."""
    hits = [cache.ask(number) for number in asked]
    return sum(hit for hit, number in zip(hits, asked, strict=True) if number < 5000) / 60_000


@pytest.mark.parametrize(
    ("skew", "share", "scans", "gain"),
    [
        (0.9, 0.1, True, 0.08),
        (0.9, 0.3, True, 0.10),
        (0.7, 0.1, True, 0.08),
        (1.1, 0.1, True, 0.05),
        (0.9, 0.1, False, 0.05),
        (1.1, 0.3, False, 0.0),
    ],
)
def test_more_is_answered_than_when_the_least_recent_goes(
    skew: float, share: float, scans: bool, gain: float
) -> None:
    asked = trace(7, skew=skew, scans=scans)
    room = int(share * sum(weight(number) for number in range(5000)))
    assert ratio(Kept(room), asked) >= ratio(LeastRecent(room), asked) + gain


def test_a_scan_of_ten_times_the_room_takes_nothing_that_is_in_use() -> None:
    room = 1_000_000
    kept = Kept(room)
    used = range(200)  # about half of it
    for _ in range(3):
        for number in used:
            kept.ask(number)
    for number in range(10_000, 14_000):
        kept.ask(number)
    assert set(used) <= set(kept.seats)
