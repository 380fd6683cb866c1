import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.caching.structured import directives


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("max-age=60", {"max-age": ("60",)}),
        ("max-age=60,no-store", {"max-age": ("60",), "no-store": (None,)}),
        (" max-age=60 \t, \t private ", {"max-age": ("60",), "private": (None,)}),
        ("no-store;why=debug", {"no-store": (None,)}),
        ("no-store;  a;b=1", {"no-store": (None,)}),
        ("max-age=60;a=1", {"max-age": ("60",)}),
        ("no-store=?1", {"no-store": (None,)}),
        ("no-store=?0", {}),
        ("no-store, no-store=?0", {}),
        ('no-cache="set-cookie, x"', {"no-cache": ('"set-cookie, x"',)}),
        (r'a="b\"c"', {"a": (r'"b\"c"',)}),
        ("a=token/1*", {"a": ("token/1*",)}),
        ("a=:YWJj:", {"a": (":YWJj:",)}),
        ("a=-1.5", {"a": ("-1.5",)}),
        ("a=@1659578233", {"a": ("@1659578233",)}),
        ('a=%"f%c3%bc"', {"a": ('%"f%c3%bc"',)}),
        ('a=(1 "b";c  d)', {"a": ('(1 "b";c  d)',)}),
        ("a=()", {"a": ("()",)}),
        ("max-age=1, max-age=2", {"max-age": ("2",)}),
        ("*x.y_z-1", {"*x.y_z-1": (None,)}),
        # None of these is a dictionary.
        ("", None),
        ("   ", None),
        (",", None),
        ("a,", None),
        ("a,,b", None),
        (",a", None),
        ("A", None),
        ("MaX-aGe=60", None),
        ("1a", None),
        ("max-age =60", None),
        ("max-age= 60", None),
        ("max-age=", None),
        ("max-age=60 no-store", None),
        ("max-age=60, &&&&&", None),
        ("max-age=1.2345", None),
        ("max-age=1.", None),
        ("max-age=1234567890123456", None),
        ("max-age=--1", None),
        ('a="b', None),
        ('a="\x7f"', None),
        ("a=?2", None),
        ("a=(1", None),
        ("a=(1,2)", None),
        ("a;B", None),
        ("a" * 5000, None),
        ("a=\xe4", None),
    ],
)
def test_directives(text: str, members: dict[str, tuple[str | None, ...]] | None) -> None:
    assert directives(text) == members


_LIKELY = st.lists(st.sampled_from([*'",= \t\\;()?:%@*', "max-age", "no-store", "60", "1.5", "?0"])).map(
    "".join
)


@given(st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")) | _LIKELY)
def test_no_text_raises(text: str) -> None:
    read = directives(text)
    assert read is None or all(name for name in read)
