"""Each script by itself, on a real server."""

import json

import pytest

from proxy.stores.redis import scripts
from tests.stores.redis.servers import RedisServer

SHELF, PLACE = "{p}:k", "{p}:at"


def keep(server: RedisServer, name: str, **given: object) -> list[int]:
    told = {"other": "", "head": "h", "body": "b", "bytes": 2, "turn": 0, "kept": 60_000}
    told |= {"about": "{}", "variants": 3, "most": 100, "tags": ""} | given
    found: list[int] = server.ask("EVAL", scripts.KEEP, 2, SHELF, PLACE, "p.k", name, *told.values())
    return found


def rows(server: RedisServer) -> dict[str, list[object]]:
    found: dict[str, list[object]] = json.loads(server.ask("HGET", SHELF, "#") or "{}")
    return found


def drop(server: RedisServer, *which: object) -> int:
    gone: int = server.ask("EVAL", scripts.DROP, 2, SHELF, PLACE, "p.k", *which)
    return gone


def test_variants_come_in_their_order_and_the_oldest_has_to_go(server: RedisServer) -> None:
    assert keep(server, "0a") == [1, 0, 1, 0]
    assert keep(server, "0b") == [2, 1, 1, 0]
    assert keep(server, "0a") == [3, 1, 0, 0]
    assert keep(server, "0c") == [4, 1, 1, 0]
    assert keep(server, "0d") == [5, 1, 0, 1]
    assert set(rows(server)) == {"0a", "0c", "0d"}
    assert server.ask("HEXISTS", SHELF, "b0b") == 0


def test_bytes_have_a_bound_that_the_newest_may_pass(server: RedisServer) -> None:
    for name in ("0a", "0b"):
        keep(server, name, bytes=40)
    assert keep(server, "0c", bytes=90) == [3, 1, -1, 2]
    assert set(rows(server)) == {"0c"}


def test_content_replaces_what_has_none(server: RedisServer) -> None:
    keep(server, "1a")
    assert keep(server, "0a", other="1a") == [2, 1, 0, 0]
    assert set(rows(server)) == {"0a"}
    assert server.ask("HEXISTS", SHELF, "h1a") == 0
    keep(server, "1a")
    assert set(rows(server)) == {"0a", "1a"}


def test_an_earlier_turn_replaces_nothing(server: RedisServer) -> None:
    keep(server, "0a", turn=2000, body="new")
    assert keep(server, "0a", turn=1999, body="old")[0] == 0
    assert server.ask("HGET", SHELF, "b0a") == b"new"
    assert keep(server, "0b", turn=1999)[0] == 2
    assert keep(server, "0a", turn=2001)[0] == 3
    assert keep(server, "0a")[0] == 4
    keep(server, "0c", turn=9_999_999_999_999)
    assert keep(server, "0c", turn=1)[0] == 6, "a clock that was set back does not lock a key"


def test_everything_expires_and_nothing_before_what_it_names(server: RedisServer) -> None:
    keep(server, "0a", kept=90_000)
    keep(server, "0b", kept=10_000)
    assert 80_000 < server.ask("PTTL", SHELF) <= 90_000
    assert server.ask("PTTL", PLACE) >= server.ask("PTTL", SHELF)
    server.ask("ZADD", "index", 1, "gone")
    for member, kept in (("a", 90_000), ("b", 10_000), ("a", 5_000)):
        server.ask("EVAL", scripts.INDEX, 1, "index", member, kept)
    assert server.ask("ZRANGE", "index", 0, -1) == [b"b", b"a"]
    assert 80_000 < server.ask("PTTL", "index") <= 90_000


@pytest.mark.parametrize(
    ("which", "left"),
    [
        (("all",), set()),
        (("tag", "red"), {"0b", "0c"}),
        (("tag", "re"), {"0a", "0b", "0c"}),
        (("one", "0b", 0), {"0a", "0c"}),
        (("one", "0b", 2), {"0a", "0c"}),
        (("one", "0b", 1), {"0a", "0b", "0c"}),
        (("one", "0x", 0), {"0a", "0b", "0c"}),
    ],
)
def test_what_is_meant_goes(server: RedisServer, which: tuple[object, ...], left: set[str]) -> None:
    keep(server, "0a", tags="red blue")
    keep(server, "0b", tags="blue")
    keep(server, "0c")
    assert drop(server, *which) == 3 - len(left)
    assert set(rows(server)) == left
    assert bool(server.ask("EXISTS", SHELF)) is bool(left)
    assert bool(server.ask("ZSCORE", PLACE, "p.k")) is bool(left)


def test_a_place_forgets_what_is_not_there(server: RedisServer) -> None:
    server.ask("ZADD", PLACE, 1, "p.k")
    assert drop(server, "all") == 0
    assert server.ask("EXISTS", PLACE) == 0


def test_a_use_makes_nothing(server: RedisServer) -> None:
    assert server.ask("EVAL", scripts.USED, 1, SHELF, 3) == 0
    assert server.ask("EXISTS", SHELF) == 0
    keep(server, "0a")
    assert [server.ask("EVAL", scripts.USED, 1, SHELF, 3) for _ in range(2)] == [3, 6]


def test_a_turn_is_had_by_one_and_ended_by_no_other(server: RedisServer) -> None:
    def take(who: str) -> list[bytes]:
        found: list[bytes] = server.ask("EVAL", scripts.TAKE, 1, "turn", who, 5000)
        return found

    assert take("one")[0] == b"one"
    assert take("two") == [b"one", b""]
    assert server.ask("EVAL", scripts.RENEW, 1, "turn", "two", 90_000) == 0
    assert server.ask("EVAL", scripts.RENEW, 1, "turn", "one", 90_000) == 1
    assert server.ask("PTTL", "turn") > 80_000
    assert server.ask("EVAL", scripts.END, 1, "turn", "two", "", 1) == 0
    assert server.ask("EVAL", scripts.END, 1, "turn", "one", "-", 5000) == 1
    assert take("two") == [b"-", b""]
    server.ask("DEL", "turn")
    assert int(take("two")[1]) > 1_700_000_000_000
    assert server.ask("EVAL", scripts.END, 1, "turn", "two", "", 1) == 1
    assert server.ask("EXISTS", "turn") == 0
