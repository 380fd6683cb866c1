from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.caching.entry import Entry
from proxy.core.message import Headers
from proxy.stores import codec
from proxy.stores.codec import Instant, UnreadableError
from tests.core.caching.samples import NOW, WALL, entry

NAME = b"n" * 32
AT = Instant(now=NOW, wall=WALL, boot="run one")
KEPT = entry(("Cache-Control", "max-age=60"), ("ETag", '"1"'), ("Cache-Tag", "red"), body=b"b" * 100)


def again(kept: Entry, at: Instant = AT, *, written: Instant = AT) -> Entry:
    return codec.read(codec.head(kept, name=NAME, at=written), kept.body, name=NAME, at=at)


def unreadable(head: bytes, body: bytes | None = KEPT.body, *, name: bytes = NAME, at: Instant = AT) -> str:
    with pytest.raises(UnreadableError) as raised:
        codec.read(head, body, name=name, at=at)
    return raised.value.reason


_TEXT = st.text(max_size=20)
_LINE = st.tuples(st.binary(max_size=20), st.binary(max_size=20))
_SECONDS = st.floats(min_value=0, max_value=1e9)


@given(
    st.builds(
        Entry,
        status=st.integers(100, 599),
        reason=_TEXT,
        headers=st.lists(_LINE, max_size=5).map(Headers),
        body=st.binary(max_size=50),
        received=st.just(NOW),
        initial_age=_SECONDS,
        date=_SECONDS,
        lifetime=_SECONDS | st.just(float("inf")),
        validate=st.booleans(),
        strict=st.booleans(),
        etag=st.none() | _TEXT,
        last_modified=st.none() | _TEXT,
        modified=st.none() | _SECONDS,
        vary=st.lists(_TEXT, max_size=3).map(tuple),
        selection=st.binary(max_size=32),
        stale_while_revalidate=_SECONDS,
        stale_if_error=st.none() | _SECONDS,
        spoken=st.binary(max_size=32),
        span=st.none() | st.tuples(st.integers(), st.integers(), st.integers()),
        tags=st.lists(_TEXT, max_size=3).map(tuple),
        head_only=st.booleans(),
    )
)
def test_every_entry_comes_back_as_it_was(kept: Entry) -> None:
    found = again(kept)
    assert found == kept
    assert [type(getattr(found, field.name)) for field in fields(Entry)] == [
        type(getattr(kept, field.name)) for field in fields(Entry)
    ]


def test_the_version_is_raised_with_what_an_entry_consists_of() -> None:
    """Whoever changes this list raises VERSION and writes both here."""
    known = (
        "status reason headers body received initial_age date lifetime validate strict etag last_modified "
        "modified vary selection stale_while_revalidate stale_if_error spoken span tags head_only"
    )
    assert (codec.VERSION, " ".join(field.name for field in fields(Entry))) == (1, known)


def test_head_and_body_in_one_value() -> None:
    head = codec.head(KEPT, name=NAME, at=AT)
    found = codec.parted(head + KEPT.body)
    assert codec.read(*found, name=NAME, at=AT) == KEPT
    assert codec.read(found[0], None, name=NAME, at=AT) == KEPT.holding(b"")


def test_no_byte_may_be_another() -> None:
    head = codec.head(KEPT, name=NAME, at=AT)
    for place in range(len(head)):
        changed = bytearray(head)
        changed[place] ^= 0x01
        assert unreadable(bytes(changed)) == ("version" if place < 2 else "checksum")
    for place in range(len(KEPT.body)):
        changed = bytearray(KEPT.body)
        changed[place] ^= 0x80
        assert unreadable(head, bytes(changed)) == "checksum"


def test_nothing_that_was_cut_is_read() -> None:
    head = codec.head(KEPT, name=NAME, at=AT)
    record = head + KEPT.body
    for length in range(len(record)):
        with pytest.raises(UnreadableError):
            codec.read(*codec.parted(record[:length]), name=NAME, at=AT)
    assert unreadable(head[:-1]) == "checksum"
    assert unreadable(head, KEPT.body + b"b") == "checksum"
    assert unreadable(b"") == "checksum"


def test_a_record_is_read_under_its_own_name_only() -> None:
    head = codec.head(KEPT, name=NAME, at=AT)
    assert unreadable(head, name=b"m" * 32) == "checksum"


def test_another_version_is_not_guessed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    head = codec.head(KEPT, name=NAME, at=AT)
    monkeypatch.setattr(codec, "VERSION", codec.VERSION + 1)
    assert unreadable(head) == "version"


@pytest.mark.parametrize("text", [b"[]", b"{}", b"[1,2", b"null", b'["a","b","c",0,0]'])
def test_what_is_whole_and_not_understood(text: bytes) -> None:
    head = codec._OPENING.pack(codec._MARK, codec.VERSION, len(text), codec._sum(NAME, text)) + text
    assert unreadable(head) == "version"


@pytest.mark.parametrize(
    ("what", "at", "age"),
    [
        ("another process of this run", Instant(now=NOW + 5, wall=WALL + 5, boot="run one"), 5),
        ("the wall clock was set back", Instant(now=NOW + 5, wall=WALL - 3600, boot="run one"), 5),
        ("the machine slept", Instant(now=NOW + 5, wall=WALL + 100, boot="run one"), 100),
        ("another run, another machine", Instant(now=7.0, wall=WALL + 50, boot="run two"), 50),
        ("runs have no names here", Instant(now=7.0, wall=WALL + 50), 50),
        ("both went back", Instant(now=NOW - 5, wall=WALL - 5, boot="run one"), 0),
    ],
)
def test_its_age_is_never_less_than_it_was(what: str, at: Instant, age: float) -> None:
    kept = replace(KEPT, initial_age=3.0)
    found = again(kept, at)
    assert found.age(at.now) == pytest.approx(3.0 + age)
    assert found.ttl(at.now) == pytest.approx(57.0 - age)
    assert found.age(at.now + 10) == pytest.approx(13.0 + age)


def test_time_before_it_is_written_counts() -> None:
    later = Instant(now=NOW + 20, wall=WALL + 20, boot="run one")
    other = Instant(now=1.0, wall=WALL + 30, boot="run two")
    assert again(KEPT, other, written=later).age(1.0) == pytest.approx(30)


def test_an_entry_from_the_future_has_no_age() -> None:
    head = codec.head(KEPT, name=NAME, at=AT)
    assert unreadable(head, at=Instant(now=NOW, wall=WALL - 1, boot="run two")) == "clock"
    assert unreadable(head, at=Instant(now=NOW, wall=WALL - 1)) == "clock"


def test_variants_have_names() -> None:
    varied = replace(KEPT, vary=("foo",), selection=b"one")
    assert codec.variant(varied) == codec.variant(replace(varied, head_only=True, status=404))
    others = [KEPT, replace(varied, selection=b"two"), replace(varied, vary=("fo", "o"))]
    assert len({codec.variant(other) for other in (varied, *others)}) == 4
    assert {len(codec.variant(other)) for other in others} == {16}


def test_the_run_of_the_machine_has_one_name() -> None:
    assert codec.boot() == codec.boot()
