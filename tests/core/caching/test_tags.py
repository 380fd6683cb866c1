import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.caching.tags import FIELDS, is_tag, tags
from proxy.core.message import Headers


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ([], ()),
        ([("Cache-Tag", "a,b")], ("a", "b")),
        ([("Cache-Tag", " a , b,, ")], ("a", "b")),
        ([("Surrogate-Key", "a b  c")], ("a", "b", "c")),
        ([("xkey", "a")], ("a",)),
        ([("XKEY", "a b"), ("xkey", "c")], ("a", "b", "c")),
        ([("Surrogate-Key", "a, b")], ("a", "b")),
        ([("Cache-Tag", "a b\tc")], ("a", "b", "c")),
        ([("Cache-Tag", "a,A,a"), ("xkey", "A z")], ("a", "A", "z")),
        ([("xkey", "z"), ("Cache-Tag", "a")], ("a", "z")),
        ([("Cache-Tag", 'user/1:x;y="z"')], ('user/1:x;y="z"',)),
        ([("Cache-Tags", "a"), ("Edge-Cache-Tag", "b")], ()),
        ([("Cache-Tag", "")], ()),
        ([("Cache-Tag", "caf\u00e9".encode().decode("latin-1"))], ("caf\u00e9",)),
        ([("Cache-Tag", "caf\u00e9")], ("caf\u00e9",)),
    ],
)
def test_each_field_by_its_own_convention_and_the_others(
    fields: list[tuple[str, str]], found: tuple[str, ...]
) -> None:
    assert tags(Headers.of(*fields)) == found


def test_configuration_names_the_fields() -> None:
    headers = Headers.of(("Edge-Cache-Tag", "a,b"), ("Cache-Tag", "c"))
    assert tags(headers, ("edge-cache-tag",)) == ("a", "b")
    assert tags(headers, ()) == ()


@given(st.lists(st.tuples(st.sampled_from(FIELDS), st.binary()), max_size=4))
def test_whatever_comes_is_read_and_gives_tags_only(lines: list[tuple[str, bytes]]) -> None:
    found = tags(Headers((name.encode(), value) for name, value in lines))
    assert all(map(is_tag, found))
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("text", "one"),
    [("a", True), ("caf\u00e9", True), ("", False), ("a b", False), ("a,b", False), ("\t", False)],
)
def test_what_can_be_a_tag(text: str, one: bool) -> None:
    assert is_tag(text) is one
