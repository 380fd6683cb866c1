import pytest

from proxy.core.caching.variation import matching, named, select
from proxy.core.message import Headers
from tests.core.caching.samples import SECRET, Pair, entry

FRESH = ("Cache-Control", "max-age=60")


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        ([], ()),
        (["Foo"], ("foo",)),
        (["b, A", "a,,C"], ("a", "b", "c")),
        (["*"], None),
        (["*, *"], None),
        (["*", "*"], None),
        ([", *"], None),
        (["", "*"], None),
        (["*, Foo"], None),
        (["Foo, *"], None),
        (["Foo", " * "], None),
        (['"*"'], None),
    ],
)
def test_named(lines: list[str], names: tuple[str, ...] | None) -> None:
    assert named(Headers.of(*(("Vary", line) for line in lines))) == names


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ([("Foo", "1")], [("foo", "1")], True),
        ([("Foo", "1")], [("Foo", "2")], False),
        ([("Foo", "1")], [], False),
        ([("Foo", "")], [], False),
        ([("Foo", "a,b")], [("Foo", "a"), ("Foo", " b ")], True),
        ([("Foo", "a, b")], [("Foo", "b, a")], False),
        ([("Foo", "A")], [("Foo", "a")], False),
        ([("Accept-Language", "EN, de")], [("Accept-Language", "en,DE")], True),
        ([("Bar", "1")], [("Bar", "2")], True),
    ],
)
def test_select(one: list[Pair], other: list[Pair], same: bool) -> None:
    digests = [
        select(("accept-language", "foo"), Headers.of(*fields), secret=SECRET) for fields in (one, other)
    ]
    assert (digests[0] == digests[1]) is same


def test_nothing_varied_by_is_nothing_selected() -> None:
    assert select((), Headers.of(("Foo", "1")), secret=SECRET) == b""


def test_a_credential_that_vary_names_is_only_digested() -> None:
    kept = entry(FRESH, ("Vary", "Authorization"), asked=(("Authorization", "Bearer hunter2"),))
    assert kept.vary == ("authorization",)
    assert b"hunter2" not in kept.selection
    assert len(kept.selection) == 32


def test_the_newest_that_matches() -> None:
    german = entry(FRESH, ("Vary", "Accept-Language"), asked=(("Accept-Language", "de"),), body=b"de")
    older = entry(FRESH, ("Vary", "Foo"), asked=(("Foo", "1"),), body=b"foo")
    for fields, expected in (
        ([("Accept-Language", "de")], german),
        ([("Accept-Language", "en"), ("Foo", "1")], older),
        ([("Accept-Language", "de"), ("Foo", "1")], german),
        ([], None),
    ):
        assert matching(Headers.of(*fields), [german, older], secret=SECRET) is expected
