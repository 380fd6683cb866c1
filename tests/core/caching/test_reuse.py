import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.caching.entry import Entry
from proxy.core.caching.key import Bypass
from proxy.core.caching.reuse import Decision, Hit, Miss, Refuse, Revalidate, Stale, reuse, with_content
from proxy.core.reason import Reason
from tests.core.caching.samples import NOW, SECRET, Pair, entry, request

TAGGED = ("ETag", '"a"')


def cc(value: str) -> Pair:
    return ("Cache-Control", value)


FRESH = entry(cc("max-age=60"))
AGED = entry(cc("max-age=60"), ("Age", "40"))
OLD = entry(cc("max-age=60"), ("Age", "100"))
OLD_TAGGED = entry(cc("max-age=60"), ("Age", "100"), TAGGED)
ALWAYS = entry(cc("max-age=60, no-cache"), TAGGED)
STRICT = entry(cc("max-age=60, must-revalidate"), ("Age", "100"), TAGGED)
PATIENT = entry(cc("max-age=60, stale-while-revalidate=50"), ("Age", "100"), TAGGED)
WHOLE = entry(cc("max-age=60"), body=b"body")
PART = entry(cc("max-age=60"), TAGGED, body=b"bo", status=200, span=(0, 1, 4))
VARIED = entry(cc("max-age=60"), ("Vary", "Foo"), asked=(("Foo", "1"),))


@pytest.mark.parametrize(
    ("fields", "entries", "decision"),
    [
        ([], [], Miss(reason=Reason.URI_MISS)),
        ([], [FRESH], Hit(entry=FRESH)),
        ([], [OLD], Miss(reason=Reason.EXPIRED, stored=OLD)),
        ([], [OLD_TAGGED], Revalidate(entry=OLD_TAGGED, reason=Reason.EXPIRED)),
        ([], [ALWAYS], Revalidate(entry=ALWAYS, reason=Reason.NO_CACHE)),
        ([], [VARIED], Miss(reason=Reason.VARY_MISS)),
        ([("Foo", "1")], [VARIED], Hit(entry=VARIED)),
        ([("Foo", "2")], [VARIED, FRESH], Hit(entry=FRESH)),
        # Parts.
        ([("Range", "bytes=0-1")], [WHOLE], Hit(entry=WHOLE)),
        ([("Range", "bytes=9-")], [WHOLE], Miss(reason=Reason.RANGE)),
        ([("Range", "bytes=0-1")], [PART], Hit(entry=PART)),
        ([("Range", "bytes=0-4")], [PART], Miss(reason=Reason.PART_MISS, stored=PART)),
        ([], [PART], Miss(reason=Reason.PART_MISS, stored=PART, missing=(2, 3))),
        ([("Range", "bytes=0-1"), cc("no-cache")], [PART], Miss(reason=Reason.REQUEST_NO_CACHE, stored=PART)),
        # What the request wants.
        ([cc("no-store")], [FRESH], Bypass(reason=Reason.REQUEST_NO_STORE)),
        ([cc("no-cache")], [], Miss(reason=Reason.REQUEST_NO_CACHE)),
        ([cc("no-cache")], [FRESH], Miss(reason=Reason.REQUEST_NO_CACHE, stored=FRESH)),
        ([("Pragma", "no-cache")], [FRESH], Miss(reason=Reason.REQUEST_NO_CACHE, stored=FRESH)),
        ([("Pragma", "other")], [FRESH], Hit(entry=FRESH)),
        ([cc("unknown")], [FRESH], Hit(entry=FRESH)),
        ([cc("no-cache")], [OLD_TAGGED], Revalidate(entry=OLD_TAGGED, reason=Reason.REQUEST_NO_CACHE)),
        ([cc("max-age=0")], [FRESH], Miss(reason=Reason.REQUEST_MAX_AGE, stored=FRESH)),
        ([cc("max-age=x")], [FRESH], Miss(reason=Reason.REQUEST_MAX_AGE, stored=FRESH)),
        ([cc("max-age=39")], [AGED], Miss(reason=Reason.REQUEST_MAX_AGE, stored=AGED)),
        ([cc("max-age=40")], [AGED], Hit(entry=AGED)),
        ([cc("min-fresh=21")], [AGED], Miss(reason=Reason.REQUEST_MIN_FRESH, stored=AGED)),
        ([cc("min-fresh=20")], [AGED], Hit(entry=AGED)),
        ([cc("max-stale")], [OLD], Stale(entry=OLD, reason=Reason.MAX_STALE)),
        ([cc("max-stale=40")], [OLD], Stale(entry=OLD, reason=Reason.MAX_STALE)),
        ([cc("max-stale=39")], [OLD], Miss(reason=Reason.EXPIRED, stored=OLD)),
        ([cc("max-stale")], [STRICT], Revalidate(entry=STRICT, reason=Reason.EXPIRED)),
        ([cc("max-stale")], [ALWAYS], Revalidate(entry=ALWAYS, reason=Reason.NO_CACHE)),
        # What the origin allows.
        ([], [PATIENT], Stale(entry=PATIENT, reason=Reason.WHILE_REVALIDATE, refresh=True)),
        ([cc("max-age=50")], [PATIENT], Revalidate(entry=PATIENT, reason=Reason.REQUEST_MAX_AGE)),
        ([cc("max-age=200")], [PATIENT], Revalidate(entry=PATIENT, reason=Reason.EXPIRED)),
        # Nothing but what is stored.
        ([cc("only-if-cached")], [FRESH], Hit(entry=FRESH)),
        ([cc("only-if-cached")], [], Refuse()),
        ([cc("only-if-cached")], [OLD_TAGGED], Refuse()),
        ([cc("only-if-cached, no-cache")], [FRESH], Refuse()),
        ([cc("only-if-cached, max-stale")], [OLD], Stale(entry=OLD, reason=Reason.MAX_STALE)),
    ],
)
def test_reuse(fields: list[Pair], entries: list[object], decision: object) -> None:
    assert reuse(request(*fields), entries, NOW, secret=SECRET) == decision  # type: ignore[arg-type] # a table of entries


def test_stale_while_revalidate_ends() -> None:
    assert reuse(request(), [PATIENT], NOW + 10, secret=SECRET) == Revalidate(
        entry=PATIENT, reason=Reason.EXPIRED
    )


@given(
    st.sampled_from([FRESH, AGED, OLD, OLD_TAGGED, ALWAYS, STRICT, PATIENT]),
    st.floats(0, 300),
    st.floats(0, 300),
    st.sampled_from(["", "max-age=90", "min-fresh=5", "max-stale=60", "no-cache", "max-age=50, max-stale"]),
)
def test_time_never_makes_an_entry_usable_again(kept: object, one: float, other: float, asked: str) -> None:
    earlier, later = sorted((one, other))
    usable = [
        isinstance(reuse(request(cc(asked)), [kept], NOW + time, secret=SECRET), Hit | Stale)  # type: ignore[list-item] # sampled
        for time in (earlier, later)
    ]
    assert usable[0] or not usable[1]


HEADED = entry(cc("max-age=60"), TAGGED, ("Content-Length", "4"), method="HEAD")
HEADED_OLD = entry(cc("max-age=60"), TAGGED, ("Age", "100"), method="HEAD")


@pytest.mark.parametrize(
    ("method", "entries", "decision"),
    [
        ("HEAD", [HEADED], Hit(entry=HEADED)),
        ("HEAD", [HEADED_OLD], Revalidate(entry=HEADED_OLD, reason=Reason.EXPIRED)),
        ("HEAD", [FRESH, HEADED_OLD], Hit(entry=FRESH)),
        ("HEAD", [HEADED, OLD], Hit(entry=HEADED)),
        ("HEAD", [HEADED, PART], Hit(entry=HEADED)),
        ("GET", [HEADED], Miss(reason=Reason.URI_MISS)),
        ("GET", [HEADED, FRESH], Hit(entry=FRESH)),
        ("GET", [HEADED, OLD], Miss(reason=Reason.EXPIRED, stored=OLD)),
        ("GET", [HEADED, VARIED], Miss(reason=Reason.VARY_MISS)),
        ("POST", [HEADED], Miss(reason=Reason.URI_MISS)),
    ],
)
def test_an_answer_to_head_serves_head_alone(method: str, entries: list[Entry], decision: Decision) -> None:
    assert reuse(request(method=method), entries, NOW, secret=SECRET) == decision


def test_what_has_content_is_left_in_its_order() -> None:
    assert list(with_content([FRESH, HEADED, OLD])) == [FRESH, OLD]
    assert with_content([FRESH, OLD]) == [FRESH, OLD]
