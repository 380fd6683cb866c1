import re

from proxy.stores import codec
from proxy.stores.redis.names import LAYOUT, Names, digests, member, short
from tests.stores.contract import key

NAMES = Names("lee[w]ard")
KEY = key("/secret?token=abc")


def test_every_name_begins_with_prefix_and_version() -> None:
    start = f"lee[w]ard:{LAYOUT}.{codec.VERSION}:"
    every = [
        *(
            NAMES.shelf(KEY),
            NAMES.place(KEY.place),
            NAMES.upstream("api"),
            NAMES.tag("red"),
            NAMES.turn(b"f"),
        ),
        *(NAMES.drops, NAMES.news, NAMES.evicted, NAMES.upstreams, NAMES.salt),
    ]
    assert all(name.startswith(start) for name in every)
    assert len(set(every)) == len(every)
    assert not any("secret" in name or "abc" in name for name in every)


def test_names_of_one_resource_share_a_hash_tag_and_no_other() -> None:
    tags = [re.findall(r"\{([^}]*)\}", name) for name in (NAMES.shelf(KEY), NAMES.place(KEY.place))]
    assert tags[0] == tags[1] != re.findall(r"\{([^}]*)\}", NAMES.shelf(key("/other")))
    assert len(tags[0]) == 1
    assert re.findall(r"\{(.*?)\}", NAMES.drops) == re.findall(r"\{(.*?)\}", NAMES.news)


def test_a_member_stands_for_its_shelf() -> None:
    assert NAMES.named(member(KEY)) == NAMES.shelf(KEY)
    assert NAMES.member_of(NAMES.shelf(KEY)) == member(KEY)
    assert NAMES.beside(member(KEY)) == NAMES.place(KEY.place)
    assert NAMES.member_of(NAMES.place(KEY.place)) is None
    assert NAMES.member_of(NAMES.drops) is None
    assert digests(member(KEY)) == (KEY.place, KEY.primary)


def test_the_pattern_takes_the_prefix_as_it_is() -> None:
    assert NAMES.shelves.startswith(r"lee\[w\]ard:")
    assert NAMES.shelves.endswith("{*")


def test_a_place_need_not_say_itself_again() -> None:
    assert NAMES.of_place(KEY.place, short(member(KEY))) == member(KEY)
    assert len(short(member(KEY))) <= 64, "longer ones cost Redis a kilobyte each"
