import pytest

from proxy.core.caching.variation import matching, most_wanted, named, select
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
        # Languages: their weights count, not their order, nor how the weights are spelled.
        ([("Accept-Language", "en, de")], [("Accept-Language", "de, en")], True),
        ([("Accept-Language", "en;q=1.0, de; q=0.50")], [("Accept-Language", "de;Q=0.5,EN")], True),
        ([("Accept-Language", "en, de;q=0.5")], [("Accept-Language", "de, en;q=0.5")], False),
        ([("Accept-Language", "en")], [("Accept-Language", "en, de")], False),
        ([("Accept-Language", "en, &")], [("Accept-Language", "&, en")], False),
        ([("Accept-Language", "en, &")], [("Accept-Language", "EN,&")], True),
        ([("Accept-Language", "")], [], False),
        ([("Accept-Encoding", "GZIP,br")], [("Accept-Encoding", "gzip, BR")], True),
        ([("Accept-Encoding", "gzip, br")], [("Accept-Encoding", "br, gzip")], False),
    ],
)
def test_select(one: list[Pair], other: list[Pair], same: bool) -> None:
    digests = [
        select(("accept-encoding", "accept-language", "foo"), Headers.of(*fields), secret=SECRET)
        for fields in (one, other)
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


@pytest.mark.parametrize(
    ("line", "language"),
    [
        ("de", "de"),
        ("fr;q=0.5, DE;q=1.0", "de"),
        ("de-AT, de;q=0.9", "de-at"),
        ("en, de", None),
        ("*, de;q=0.5", None),
        ("de;q=0", None),
        ("de, &", None),
        ("", None),
        (None, None),
    ],
)
def test_most_wanted(line: str | None, language: str | None) -> None:
    assert most_wanted(Headers.of(*(() if line is None else (("Accept-Language", line),)))) == language


GERMAN = entry(
    FRESH,
    ("Vary", "Foo, Accept-Language"),
    ("Content-Language", "de"),
    asked=(("Accept-Language", "en, de"), ("Foo", "1")),
)


@pytest.mark.parametrize(
    ("languages", "foo", "found"),
    [
        ("fr;q=0.5, de;q=1.0", "1", True),
        ("de", "1", True),
        ("de", "2", False),
        ("de-AT", "1", False),
        ("fr, de", "1", False),
        ("de;q=0.5, fr", "1", False),
        ("*", "1", False),
    ],
)
def test_an_answer_in_the_language_wanted_most(languages: str, foo: str, found: bool) -> None:
    asked = Headers.of(("Accept-Language", languages), ("Foo", foo))
    assert (matching(asked, [GERMAN], secret=SECRET) is GERMAN) is found


def test_an_answer_in_several_languages_or_none_is_not_chosen_by_its_language() -> None:
    for said in ([], [("Content-Language", "de, en")]):
        kept = entry(FRESH, ("Vary", "Accept-Language"), *said, asked=(("Accept-Language", "en, de"),))
        assert matching(Headers.of(("Accept-Language", "de")), [kept], secret=SECRET) is None
