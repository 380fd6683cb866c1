import re
from pathlib import Path

import pytest

from proxy.config.places import PLACES, Disk, Memory, Place, known, place
from proxy.stores.redis.address import RedisAddress


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("memory://", Memory()),
        ("disk:///var/cache/leeward", Disk(path=Path("/var/cache/leeward"))),
        ("disk:///var/cache/leeward/", Disk(path=Path("/var/cache/leeward"))),
        ("disk:///with a space/100%", Disk(path=Path("/with a space/100%"))),
        ("redis://a:1/2", RedisAddress(hosts=(("a", 1),), database=2)),
    ],
)
def test_what_is_written_is_a_place(written: str, found: Place) -> None:
    assert place(written) == found
    assert known(written) == written
    assert re.search(PLACES, written)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("memory", "memory has no address; write memory://"),
        ("memory://host", "memory has no address; write memory://"),
        ("disk://var/cache", "three slashes in all; write disk:///var/cache/leeward"),
        ("disk://", "three slashes in all; write disk:///var/cache/leeward"),
        ("disk:///", "a folder of its own; write disk:///var/cache/leeward"),
        ("disk:///a/../b", "a folder of its own; write disk:///var/cache/leeward"),
        ("disk:/var/cache", "with disk:// before its absolute path; write disk:///var/cache/leeward"),
        ("/var/cache", "with disk:// before its absolute path; write disk:///var/cache/leeward"),
        ("file:///var/cache", "with disk:// before its absolute path; write disk:///var/cache/leeward"),
        ("redis:host", "a Redis or Valkey is written as in redis://127.0.0.1:6379/0"),
        ("valkey://host", "a Redis or Valkey is written as in redis://127.0.0.1:6379/0"),
        ("redis://", "lacks a host"),
        ("memcached://host", "is not a store that is known; write memory://, disk:///var/cache/leeward"),
        ("", "is not a store that is known"),
    ],
)
def test_what_is_no_place_says_what_would_be_right(written: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        place(written)
