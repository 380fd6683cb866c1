from hypothesis import given
from hypothesis import strategies as st

from proxy.core.message import Headers, Request, Whole, lower_name

FIELDS = st.lists(st.tuples(st.binary(min_size=1, max_size=12), st.binary(max_size=20)), max_size=12)


def test_fields_keep_their_bytes_order_and_number():
    raw = ((b"X-Odd", b"\xff\x80"), (b"x-oDD", b"2"), (b"Accept", b"*/*"))
    headers = Headers(raw)
    assert headers.fields == raw
    assert headers.all("x-odd") == ["\xff\x80", "2"]
    assert headers.get("x-odd") == "\xff\x80"
    assert headers.joined("x-odd") == "\xff\x80, 2"
    assert headers.get("missing") is None
    assert headers.joined("missing") is None
    assert list(headers) == [("x-odd", "\xff\x80"), ("x-odd", "2"), ("accept", "*/*")]
    assert headers.names() == {"x-odd", "accept"}
    assert len(headers) == 3


def test_size_is_that_of_the_written_section():
    assert Headers.of(("A", "bc"), ("D", "")).size() == len(b"A: bc\r\nD: \r\n")


def test_without_plus_and_replacing():
    headers = Headers.of(("A", "1"), ("a", "2"), ("B", "3"))
    assert headers.without(frozenset({"a"})) == Headers.of(("B", "3"))
    assert headers.without(frozenset({"z"})) is headers
    assert headers.plus(("C", "4")).get("c") == "4"
    assert headers.replacing("A", "9") == Headers.of(("B", "3"), ("A", "9"))
    assert hash(headers) == hash(Headers.of(("A", "1"), ("a", "2"), ("B", "3")))


def test_repr_names_fields_and_shows_no_value():
    assert repr(Headers.of(("Authorization", "Bearer canary"))) == "Headers(authorization)"


@given(FIELDS)
def test_every_field_is_found_under_its_lower_case_name(fields):
    headers = Headers(fields)
    for name, value in fields:
        assert value.decode("latin-1") in headers.all(lower_name(name))
    assert sum(len(headers.all(name)) for name in headers.names()) == len(fields)


@given(FIELDS, st.binary(min_size=1, max_size=3))
def test_without_takes_exactly_the_named(fields, name):
    kept = Headers(fields).without(frozenset({lower_name(name)}))
    assert kept.fields == tuple(f for f in fields if lower_name(f[0]) != lower_name(name))


async def test_a_whole_body_is_read_once_and_again_after_rewind():
    body = Whole(b"abc")
    assert body.length == 3
    assert [await body.read(), await body.read()] == [b"abc", b""]
    body.rewind()
    assert await body.read() == b"abc"
    body.rewind()
    body.close()
    assert await body.read() == b""
    assert await Whole().read() == b""


def test_a_target_is_split_at_its_first_question_mark():
    request = Request(method="GET", target="/a?b=%2F?c", headers=Headers(), body=Whole())
    assert (request.path, request.query) == ("/a", "b=%2F?c")
