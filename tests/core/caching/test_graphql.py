import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.caching.graphql import Effect, of_document, of_request

READS, CHANGES, NONE = Effect.READS, Effect.MAY_CHANGE, Effect.NONE

DOCUMENTS = [
    ("{ viewer { login } }", READS),
    ("query { viewer { login } }", READS),
    (
        "query Q($a: Int = 1, $b: In = {x: [1, 2.5e3]}) @live { a(x: $a) { ...F } } fragment F on U { id }",
        READS,
    ),
    ("fragment F on U { id } query { ...F }", READS),
    ("query A { a } query B { b }", READS),
    ("\ufeff, # mutation { x }\r\n{ a }", READS),
    ('{ a(x: "mutation { y } }") }', READS),
    ('{ a(x: """ } mutation " \\""" { y }""") }', READS),
    ('"""What it does"""\nquery { a }', READS),
    ('"what" { a }', READS),
    ("{ mutation subscription query }", READS),
    ("query mutation { a }", READS),
    ("{ ... on User @include(if: true) { id } }", READS),
    ("mutation { x }", CHANGES),
    ("subscription { x }", CHANGES),
    ("query A { a } mutation B { b }", CHANGES),
    ("{ a } mutation { b }", CHANGES),
    ("# only reads\nmutation{b}", CHANGES),
    ('"" mutation { b }', CHANGES),
    ('{ a(x: "y") } # {\n subscription S { b }', CHANGES),
    ('{ a(x: """x""" """y""") } mutation { b }', CHANGES),
    ("query", CHANGES),
    ("query about cats", CHANGES),
    ("{ a", CHANGES),
    ("{ a ] }", CHANGES),
    ("{ a } }", CHANGES),
    ("{ a } extend type T { b: C }", CHANGES),
    ('{ a(x: "open) }', CHANGES),
    ("{ a(x: ') }", CHANGES),
    ("query ($a: B = {c: 1}) mutation", CHANGES),
    ("", NONE),
    ("cats", NONE),
    ("Which mutation is it?", NONE),
    ("'{a}'", NONE),
    ("type T { a: B }", NONE),
    ("# {a}", NONE),
]


@pytest.mark.parametrize(("document", "effect"), DOCUMENTS)
def test_of_document(document: str, effect: Effect) -> None:
    assert of_document(document) is effect


REQUESTS = [
    ({"query": "{ a }", "variables": {"x": 1}, "operationName": None}, READS),
    ({"query": "query A { a } mutation B { b }", "operationName": "A"}, CHANGES),
    ({"query": "{ a }", "extensions": {"persistedQuery": {"sha256Hash": "x"}}}, READS),
    ({"extensions": {"persistedQuery": {"sha256Hash": "x"}}}, CHANGES),
    ({"operationName": "A"}, CHANGES),
    ({"query": "", "operationName": "A"}, CHANGES),
    ({"documentId": "abc", "variables": {}}, CHANGES),
    ([{"query": "{ a }"}, {"query": "{ b }"}], READS),
    ([{"query": "{ a }"}, {"query": "mutation { b }"}], CHANGES),
    ([{"query": "{ a }"}, 3], READS),
    ({"query": "cats"}, NONE),
    ({"query": {"match": {"mutation": 1}}}, NONE),
    ({"extensions": {}}, NONE),
    ({"id": 3}, NONE),
    ({"variables": {}}, NONE),
    ([], NONE),
    ("mutation { x }", NONE),
    (None, NONE),
]


@pytest.mark.parametrize(("body", "effect"), REQUESTS)
def test_of_request(body: object, effect: Effect) -> None:
    assert of_request(body) is effect


_PIECES = st.sampled_from(
    [
        "query ",
        "mutation ",
        "fragment F on T ",
        "{",
        "}",
        "(",
        ")",
        '"',
        '"""',
        "\\",
        "#",
        "\n",
        "a",
        "@",
        "1.5",
        "…",
    ]
)


@given(st.lists(_PIECES, max_size=30).map("".join) | st.text(max_size=80))
def test_parsing_never_raises(text: str) -> None:
    assert isinstance(of_document(text), Effect)


@given(st.lists(_PIECES, max_size=12).map("".join))
def test_a_mutation_after_anything_is_never_taken_for_reading(before: str) -> None:
    """Unless it is a name, a string or a comment, which these endings prevent."""
    assert of_document("{ a }\n" + before + "\n} } } mutation { x }") is not READS


@given(
    st.lists(
        st.sampled_from(["query { a }", "{ a }", "fragment F on T { b }", '"x" query Q { a }']), min_size=1
    )
)
def test_a_mutation_among_queries_is_found(definitions: list[str]) -> None:
    assert of_document("\n".join(definitions)) is READS
    assert of_document("\n".join([*definitions, "mutation { x }"])) is CHANGES
    assert of_document("\n".join(["mutation { x }", *definitions])) is CHANGES
