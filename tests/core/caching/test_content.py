import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.caching.content import keyed, media_type
from proxy.core.message import Headers, Whole
from tests.core.caching.samples import Pair, request

JSON = ("Content-Type", "application/json")
FORM = ("Content-Type", "application/x-www-form-urlencoded")


def part(
    content: bytes | str, *fields: Pair, ignored: tuple[str, ...] = (), target: str = "/a"
) -> bytes | None:
    raw = content.encode() if isinstance(content, str) else content
    asked = request(*(fields or (JSON,)), method="POST", target=target, body=Whole(raw))
    return keyed(asked, raw, ignored)


SAME = [
    ('{"a":1,"b":2}', '{ "b" : 2,\n"a":1 }'),
    ('{"a":{"c":1,"b":[]}}', '{"a": {"b": [], "c": 1}}'),
    ('{"\\u0061":"\\u00e4"}', '{"a":"ä"}'),
    ("[1, true, null]", "[1,true,null]"),
    ('{"a":"\\ud800"}', '{"a": "\\uD800"}'),
]
OTHER = [
    ('{"a":1}', '{"a":1.0}'),
    ('{"a":1e2}', '{"a":100}'),
    ('{"a":9007199254740993}', '{"a":9007199254740992}'),
    ('{"a":0.1}', '{"a":0.10000000000000001}'),
    ('{"a":1}', '{"a":"1"}'),
    ("[1,2]", "[2,1]"),
    ('{"a":null}', "{}"),
    ('{"a":true}', '{"a":"true"}'),
    ('{"a":1,"a":2}', '{"a":2}'),
    ('{"a":1,"a":2}', '{"a":1, "a":2}'),
    ("{}", "[]"),
    ('"a"', '"\\u0061"'),
    ("NaN", " NaN"),
    ("{a:1}", "{a: 1}"),
    ("", " "),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_json_is_the_same(one: str, other: str) -> None:
    assert part(one) == part(other)
    assert (part(one) or b"").startswith(b"json:")


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_anything_else_is_another(one: str, other: str) -> None:
    assert part(one) != part(other)


@pytest.mark.parametrize(
    ("fields", "same"),
    [
        ((JSON,), True),
        ((("Content-Type", "application/vnd.api+json; charset=utf-8"),), True),
        ((FORM,), True),
        ((("Accept", "x"),), True),
        ((("Content-Type", "text/plain"),), False),
        ((("Content-Type", "application/octet-stream"),), False),
        ((JSON, ("Content-Type", "text/plain")), False),
    ],
)
def test_only_json_is_read_as_json(fields: tuple[Pair, ...], same: bool) -> None:
    assert (part('{"a":1}', *fields) == part('{"a": 1}', *fields)) is same


def test_neither_kind_can_be_taken_for_the_other() -> None:
    assert part('{"a":1}') != part('{"a":1}', ("Content-Type", "text/plain"))
    assert part('json:{"a":1}') != part('{"a":1}')


@pytest.mark.parametrize(
    ("ignored", "one", "other", "same"),
    [
        (("user",), '{"user":1,"a":2}', '{"a":2}', True),
        (("user",), '{"user":1,"a":2}', '{"a":3}', False),
        (("user",), '{"x":{"user":1}}', '{"x":{"user":2}}', False),
        (("x.user",), '{"x":{"user":1}}', '{"x":{"user":2}}', True),
        (("x.user",), '{"x":[{"user":1}]}', '{"x":[{"user":2}]}', False),
        (("x.*.user",), '{"x":[{"user":1},{"a":1}]}', '{"x":[{},{"user":2,"a":1}]}', True),
        (("x.*.user",), '{"x":[{}]}', '{"x":[{},{}]}', False),
        (("*.user",), '[{"user":1}]', '[{"user":2}]', True),
        (("*.user",), '{"a":{"user":1}}', '{"a":{"user":2}}', False),
        (("x", "x.y"), '{"x":{"y":1}}', "{}", True),
        (("x.y.z",), '{"x":1}', '{"x":2}', False),
    ],
)
def test_ignored_members(ignored: tuple[str, ...], one: str, other: str, same: bool) -> None:
    assert (part(one, ignored=ignored) == part(other, ignored=ignored)) is same


MUTATION = "mutation { x }"
CHANGES: list[tuple[bytes | str, tuple[Pair, ...], str]] = [
    (json.dumps({"query": MUTATION}), (JSON,), "/a"),
    (json.dumps({"query": MUTATION}), (("Content-Type", "text/plain"),), "/a"),
    (json.dumps([{"query": "{ a }"}, {"query": MUTATION}]), (JSON,), "/a"),
    (json.dumps({"query": "query A { a } mutation B { b }", "operationName": "A"}), (JSON,), "/a"),
    ('{"query": "mutation { x }", "query": "{ a }"}', (JSON,), "/a"),
    ('{"query": "{ a }", "operationName": "A", "operationName": "B"}', (JSON,), "/a"),
    (json.dumps({"operationName": "Pay"}), (JSON,), "/a"),
    ("{query: 'mutation { x }'}", (JSON,), "/a"),
    ('{"query": "mut\\u0061tion { x }",}', (JSON,), "/a"),
    ('\ufeff{"query": "mutation { x }"}', (JSON,), "/a"),
    ('{"query": "mutation { x }"}'.encode("utf-16"), (JSON,), "/a"),
    (MUTATION, (("Content-Type", "application/graphql"),), "/a"),
    ("cats", (("Content-Type", "application/graphql"),), "/a"),
    ("query=%6dutation+%7B+x+%7D&a=1", (FORM,), "/a"),
    ('a=1&extensions={"persistedQuery":1}', (FORM,), "/a"),
    (
        b'--x\r\nContent-Disposition: form-data; name="operations"\r\n\r\n{}',
        (("Content-Type", "multipart/form-data; boundary=x"),),
        "/a",
    ),
    ("", (JSON,), "/a?query=mutation%7Bx%7D"),
    (json.dumps({"query": "{ a }"}), (JSON,), "/a?query=mutation%7Bx%7D"),
]


@pytest.mark.parametrize(("content", "fields", "target"), CHANGES)
def test_what_may_change_something_has_no_part_in_a_key(
    content: bytes | str, fields: tuple[Pair, ...], target: str
) -> None:
    assert part(content, *fields, target=target) is None


@pytest.mark.parametrize(
    ("content", "fields", "target"),
    [
        (json.dumps({"query": "{ a }", "variables": {"mutation": 1}}), (JSON,), "/a"),
        (json.dumps({"query": "the mutation of genes"}), (JSON,), "/a"),
        (json.dumps({"text": MUTATION}), (JSON,), "/a"),
        ("{ a }", (("Content-Type", "application/graphql"),), "/a"),
        ("query={a}&x=mutation", (FORM,), "/a"),
        (MUTATION, (("Content-Type", "text/plain"),), "/a"),
        ("", (JSON,), "/a?q=mutation&query=%7Ba%7D"),
        (b"--x", (("Content-Type", "multipart/form-data; boundary=x"),), "/a"),
    ],
)
def test_what_only_reads_has_one(content: bytes | str, fields: tuple[Pair, ...], target: str) -> None:
    assert part(content, *fields, target=target) is not None


def test_what_graphql_is_asked_with_is_part_of_the_key() -> None:
    asked = {"query": "query A { a } query B { b }", "operationName": "A", "variables": {"x": 1}}
    parts = [asked, {**asked, "operationName": "B"}, {**asked, "variables": {"x": 2}}]
    assert len({part(json.dumps(one)) for one in parts}) == 3


def test_depth_and_duplicates_without_end() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    assert part(deep) == b"bytes:" + deep
    within = b'{"a":' * 700 + b"1" + b"}" * 700
    assert part(within) in (b"json:" + within, b"bytes:" + within)
    many = b"{" + b",".join([b'"%d":1' % (n % 9000) for n in range(18_000)]) + b"}"
    assert part(many) == b"bytes:" + many


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ((("Content-Type", "Application/JSON ; charset=x"),), "application/json"),
        ((), ""),
        ((("Content-Type", "a/b"), ("Content-Type", "a/b")), "?"),
    ],
)
def test_media_type(fields: tuple[Pair, ...], told: str) -> None:
    assert media_type(Headers.of(*fields)) == told


_WORDS = st.text(st.characters(exclude_categories=["Cs"]))  # half a surrogate pair has no UTF-8
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _WORDS,
    lambda inner: st.lists(inner) | st.dictionaries(_WORDS, inner),
    max_leaves=12,
)
_TYPES = st.sampled_from(
    ["application/json", "application/graphql", FORM[1], "multipart/form-data", "text/plain"]
)


@given(st.dictionaries(_WORDS, _VALUES))
def test_order_and_blanks_never_matter(value: dict[str, object]) -> None:
    one = json.dumps(value)
    other = json.dumps(dict(reversed(value.items())), indent=2, ensure_ascii=False)
    assert part(one) == part(other.encode())


@given(_VALUES, _VALUES)
def test_two_values_never_share_a_part(one: object, other: object) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    parts = part(json.dumps([one])), part(json.dumps([other]))
    assert None in parts or (parts[0] == parts[1]) is same


@given(st.binary(max_size=200), _TYPES, st.binary(max_size=20))
def test_parsing_never_raises(content: bytes, kind: str, query: bytes) -> None:
    part(content, ("Content-Type", kind), target="/a?query=" + query.decode("latin-1"), ignored=("a.b", "*"))
