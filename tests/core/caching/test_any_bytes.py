"""Does anything that reads a message for the cache raise on any bytes?"""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.caching import directives, freshness, invalidation, ranges, tags, validation, variation
from proxy.core.caching.admission import Admit, Moment, admit
from proxy.core.caching.entry import Entry, storable_fields
from proxy.core.caching.key import Key, identify
from proxy.core.caching.outage import stand_in
from proxy.core.caching.policy import CachePolicy, KeyPolicy, Scope
from proxy.core.caching.reuse import reuse
from proxy.core.caching.serving import serve
from proxy.core.forwarding import HOP_BY_HOP, listed
from proxy.core.message import Field, Headers, Request, Response, Whole, lower_name
from tests.core.caching.samples import NOW, SECRET, WALL, route

_REQUEST = (
    *(
        b"Cache-Control",
        b"Pragma",
        b"If-None-Match",
        b"If-Modified-Since",
        b"If-Range",
        b"Range",
        b"Connection",
    ),
    *(b"Accept", b"Accept-Language", b"Accept-Encoding", b"Authorization", b"Cookie", b"Content-Type"),
)
_RESPONSE = (
    *(b"Cache-Control", b"CDN-Cache-Control", b"Leeward-Cache-Control", b"Expires", b"Date", b"Age", b"ETag"),
    *(
        b"Last-Modified",
        b"Vary",
        b"Content-Range",
        b"Content-Length",
        b"Content-Language",
        b"Content-Location",
    ),
    *(b"Location", b"Connection", b"Set-Cookie", b"Content-Type", b"Cache-Tag", b"Surrogate-Key", b"xkey"),
)
# Half of it is likely to be understood, so that the reading goes on.
_LIKELY = st.sampled_from(
    [
        *(
            b"max-age=60",
            b"no-cache",
            b"max-stale",
            b"public, s-maxage=5",
            b"stale-while-revalidate=9, max-age=1",
        ),
        *(
            b"Wed, 15 Jul 2026 12:50:00 GMT",
            b'"a"',
            b'W/"a", "b"',
            b"*",
            b"bytes=0-1",
            b"bytes=-3",
            b"bytes 0-1/4",
        ),
        *(
            b"accept, accept-language",
            b"de;q=0.5, en",
            b"4",
            b"/a",
            b"https://api.example/b",
            b"x-hop, close",
        ),
        *(b"text/event-stream", b"application/json", b"a b c", b"a,b,,c"),
    ]
)
_VALUES = st.binary(max_size=30) | _LIKELY | st.lists(_LIKELY, min_size=2, max_size=3).map(b", ".join)


def _fields(names: tuple[bytes, ...]) -> st.SearchStrategy[Headers]:
    return st.lists(st.tuples(st.sampled_from(names), _VALUES), max_size=8).map(Headers)


_REQUESTS = st.builds(
    Request,
    method=st.sampled_from(["GET", "GET", "HEAD", "POST"]),
    target=st.binary(max_size=10).map(lambda raw: "/" + raw.decode("latin-1")),
    headers=_fields(_REQUEST),
    body=st.just(Whole()),
)
_RESPONSES = st.builds(
    Response,
    status=st.sampled_from([200, 200, 200, 203, 206, 301, 304, 404, 500, 599]),
    headers=_fields(_RESPONSE),
    body=st.just(Whole()),
)
_POLICIES = st.builds(
    CachePolicy,
    scope=st.sampled_from(Scope),
    override_ttl=st.sampled_from([None, None, 60.0]),
    store_set_cookie=st.booleans(),
    methods=st.just(frozenset({"GET", "HEAD", "POST"})),
    key=st.just(KeyPolicy(ignore_query=("a",), ignore_body_fields=("a.*",))),
)
_NEVER = HOP_BY_HOP | {"age", "set-cookie", "set-cookie2"}


@settings(max_examples=300)
@given(_REQUESTS, _RESPONSES, _REQUESTS, _POLICIES, st.binary(max_size=20))
def test_nothing_raises_and_nothing_forbidden_is_kept(
    asked: Request, answer: Response, later: Request, policy: CachePolicy, content: bytes
) -> None:
    on = route(policy)
    for one in (asked, later):
        found = identify(one, on, secret=SECRET, content=content)
        assert not isinstance(found, Key) or len(found.primary) == 32
    list(invalidation.places(asked, answer, on, secret=SECRET))
    invalidation.restates(replace(asked, method="POST"), answer, on, WALL)
    directives.of_request(later.headers).patience()
    said = directives.of_response(answer.headers, policy.scope)
    freshness.explicit(answer.headers, said, policy.scope, WALL)
    freshness.heuristic(200, answer.headers, said, WALL)
    tags.tags(answer.headers, policy.tag_headers)
    variation.most_wanted(asked.headers)
    ranges.wished(asked.headers)
    moment = Moment(sent=NOW - 1, received=NOW, wall=WALL)
    outcome = admit(asked, answer, moment, policy=policy, secret=SECRET)
    if isinstance(outcome, Admit):
        entry = outcome.entry.holding(content)
        _clean(answer.headers, entry.headers)
        _used(entry, later, answer)


def _used(entry: Entry, later: Request, answer: Response) -> None:
    """All that may be done with what is stored."""
    for now in (NOW, NOW + 1e6):
        reuse(later, [entry], now, secret=SECRET)
        stand_in(later, entry, now, failed=500)
        assert entry.age(now) >= 0
        assert entry.fresh(now) is (entry.ttl(now) > 0)
    serve(later, entry, "leeward; hit", now=NOW, wall=WALL)
    validation.unchanged(later, entry, WALL)
    validation.confirms(entry, answer.headers)
    validation.agrees(entry, answer.headers)
    validation.conditional(later, entry)
    _clean(answer.headers, storable_fields(validation.merged(entry.headers, answer.headers)))
    ranges.joined(entry, entry)
    assert entry.fresh(NOW) >= entry.fresh(NOW + 1e6)  # freshness ends and never comes back


def _clean(sent: Headers, kept: Headers) -> None:
    never = _NEVER | (listed(sent) - {"content-length"})
    left: set[Field] = {field for field in kept.fields if lower_name(field[0]) in never}
    assert left == set()
