import gzip
import json
import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core import failure as f
from proxy.core import problem
from proxy.core.classify import classify
from proxy.core.dialect import PLAIN, Dialect, Place, heard
from proxy.core.message import Headers


def told(status, body=b"", *fields, mask=lambda text: text, wait=None, word=None, dialect=PLAIN):
    headers = Headers.of(*fields)
    fault = classify(dialect, heard(status, headers, body), 0.0)
    if fault is None:
        return None
    return problem.upstream_failure(
        name="up",
        fault=replace(fault, wait=wait if wait is not None else fault.wait),
        headers=headers,
        body=body,
        mask=mask,
        repeatable=word,
        dialect=dialect,
    )


SHAPES = [
    ({"error": "gone wrong"}, "gone wrong"),
    ({"error": {"message": "gone wrong", "code": "x"}}, "gone wrong"),
    ({"message": "gone wrong"}, "gone wrong"),
    ({"detail": "gone wrong"}, "gone wrong"),
    ({"title": "gone wrong"}, "gone wrong"),
    ({"errors": ["gone wrong"]}, "gone wrong"),
    ({"errors": [{"message": "gone wrong"}]}, "gone wrong"),
    ({"errors": [{"detail": "gone wrong"}, {"detail": "other"}]}, "gone wrong"),
    ({"errors": {"name": ["is wrong"]}}, "name: is wrong"),
    ({"errorMessages": ["gone wrong"], "errors": {}}, "gone wrong"),
    ({"error": "invalid_grant", "error_description": "gone wrong"}, "gone wrong"),
    ({"message": "", "detail": "gone wrong"}, "gone wrong"),
    ([{"message": "gone wrong"}], "gone wrong"),
    ("gone wrong", "gone wrong"),
    ({"Message": " gone\n wrong "}, "gone wrong"),
    ({}, None),
    ([], None),
    (17, None),
    ({"error": None, "errors": []}, None),
]


@pytest.mark.parametrize(("shape", "words"), SHAPES)
def test_the_upstream_s_words_are_found(shape, words):
    assert problem.message(shape) == words
    failure, original = told(500, json.dumps(shape).encode())
    assert failure.detail == (words or f.ServerError.title)
    assert original == shape


def test_text_is_shown_as_text():
    failure, original = told(502, b"<html>Bad\n Gateway</html>")
    assert failure.detail == "<html>Bad Gateway</html>"
    page = b"<!DOCTYPE html>\n<HTML><Title>\n 502 Bad\n Gateway</title><body><p>nginx</p></body></HTML>"
    assert told(502, page)[0].detail == "502 Bad Gateway"
    assert told(502, b"<html><title> </title>no</html>")[0].detail == "<html><title> </title>no</html>"
    assert told(502, b"a <title>b</title>")[0].detail == "a <title>b</title>"
    assert original == "<html>Bad\n Gateway</html>"


def test_long_words_are_cut_in_detail_but_not_in_original():
    failure, original = told(400, json.dumps({"message": "x" * 5000}).encode())
    assert len(failure.detail) == 1000
    assert len(original["message"]) == 5000


@pytest.mark.parametrize(
    ("coding", "encode"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data, wbits=-15)),
        ("GZIP", gzip.compress),
        ("identity", bytes),
    ],
)
def test_a_coded_body_is_decoded_to_be_read(coding, encode):
    body = encode(b'{"message": "no"}')
    assert told(400, body, ("Content-Encoding", coding))[0].detail == "no"


def test_a_bomb_is_not_inflated_beyond_what_is_shown():
    _, original = told(400, gzip.compress(b"x" * 10_000_000), ("Content-Encoding", "gzip"))
    assert len(original) == problem.MOST_ORIGINAL


@pytest.mark.parametrize(("coding", "body"), [("br", b"\x0b"), ("gzip", b"not gzip"), ("gzip, br", b"x")])
def test_an_unreadable_body_is_left_out(coding, body):
    failure, original = told(400, body, ("Content-Encoding", coding))
    assert original is None
    assert failure.detail == f.InvalidRequestError.title


def test_no_failure_is_no_failure():
    assert told(200) is None


def test_upstream_facts():
    body = json.dumps({"error": {"message": "m", "code": "rate", "type": "t"}}).encode()
    failure, _ = told(429, body, ("X-GitHub-Request-Id", "r1"), wait=2.2)
    assert failure.upstream == f.UpstreamFacts(name="up", status=429, code="rate", request_id="r1")
    assert failure.retry_after == 2.2


@pytest.mark.parametrize(
    ("original", "code"),
    [
        ({"code": 20429, "message": "m"}, "20429"),
        ({"code": 404, "message": "m"}, None),
        ({"error": {"status": "NOT_FOUND", "code": 404}}, "NOT_FOUND"),
        ({"__type": "ThrottlingException"}, "ThrottlingException"),
        ({"error": "invalid_auth"}, "invalid_auth"),
        ({"error": "two words"}, None),
        ({"error": {"code": True}}, None),
        (["x"], None),
    ],
)
def test_the_upstream_s_code(original, code):
    assert told(400, json.dumps(original).encode())[0].upstream.code == code


def test_what_the_upstream_echoes_is_masked():
    mask = lambda text: text.replace("canary", "***")  # noqa: E731
    failure, original = told(401, b'{"message": "bad key canary"}', ("X-Request-Id", "canary"), mask=mask)
    assert failure.detail == "bad key ***"
    assert "canary" not in json.dumps(original)
    assert failure.upstream.request_id == "***"


def test_an_echo_in_the_fields_that_a_dialect_looks_into_is_masked():
    mask = lambda text: text.replace("canary", "***")  # noqa: E731
    message, code, identity = ((Place.of(f"header:x-{name}"),) for name in ("message", "code", "id"))
    dialect = Dialect(message=message, code=code, request_id=identity)
    fields = [("X-Message", "bad key canary"), ("X-Code", "canary"), ("X-Id", "canary")]
    failure, _ = told(401, b"", *fields, mask=mask, dialect=dialect)
    facts = failure.upstream
    assert (failure.detail, facts.code, facts.request_id) == ("bad key ***", "***", "***")


def test_however_json_spells_an_echo_it_is_masked():
    mask = lambda text: text.replace("can+ary", "***")  # noqa: E731
    for body in (
        b'{"error": {"message": "bad can\\u002Bary"}}',
        b'{"error": {"message": "bad \\u0063an+ary"}}',
    ):
        failure, original = told(401, body, mask=mask)
        assert (failure.detail, original) == ("bad ***", {"error": {"message": "bad ***"}})


@pytest.mark.parametrize("before", [65_530, 65_535, 65_536, 60_000])
def test_a_secret_across_the_cut_is_masked_whole(before):
    mask = lambda text: text.replace("canary-in-the-mine", "***")  # noqa: E731
    _, original = told(500, b"x" * before + b"canary-in-the-mine" + b"y" * 50_000, mask=mask)
    assert "canary" not in original
    assert len(original) == problem.MOST_ORIGINAL


@pytest.mark.parametrize(
    ("status", "own"), [(408, 504), (504, 504), (529, 529), (503, 503), (418, 418), (999, 999)]
)
def test_the_caller_s_status(status, own):
    assert told(status)[0].status == own


@pytest.mark.parametrize(
    ("failure", "method", "retryable"),
    [
        (f.ServerError(sent=True, upstream=f.UpstreamFacts(name="u", status=500)), "GET", True),
        (f.ServerError(sent=True, upstream=f.UpstreamFacts(name="u", status=500)), "POST", False),
        (f.RateLimitError(upstream=f.UpstreamFacts(name="u", status=429)), "POST", True),
        (f.UnavailableError(upstream=f.UpstreamFacts(name="u", status=503)), "POST", True),
        (f.ConflictError(), "GET", False),
        (f.UpstreamTimeoutError(sent=True), "POST", False),
        (f.UpstreamTimeoutError(sent=False), "POST", True),
        (f.ConnectError(), "POST", True),
        (f.NotFoundError(), "GET", False),
        (f.CircuitOpenError(), "PATCH", True),
        (f.OverloadedError(), "POST", True),
        (f.QuotaExhaustedError(), "GET", False),
    ],
)
def test_retryable_says_whether_the_caller_may_send_it_again(failure, method, retryable):
    assert problem.retryable(failure, method) is retryable


def test_the_document():
    failure, original = told(429, b'{"message": "API rate limit exceeded for user 1."}', wait=29.2)
    assert problem.document(failure, method="GET", request_id="01JD", attempts=3, original=original) == {
        "type": "urn:problem-type:leeward:rate-limited",
        "title": "The upstream limits the rate of requests",
        "status": 429,
        "detail": "API rate limit exceeded for user 1.",
        "code": "rate_limited",
        "retryable": True,
        "retry_after": 30,
        "attempts": 3,
        "request_id": "01JD",
        "upstream": {"name": "up", "status": 429, "code": None, "request_id": None},
        "original": {"message": "API rate limit exceeded for user 1."},
    }


async def test_the_response_keeps_fields_but_those_about_the_old_body():
    failure, original = told(429, b"{}", wait=0.2)
    fields = Headers.of(
        ("Content-Type", "text/html"), ("Content-Encoding", "gzip"), ("ETag", '"x"'), ("X-Limit", "5"),
        ("Retry-After", "Sun, 22 Nov 2026 00:00:00 GMT"), ("Cache-Status", "leeward; fwd=miss"),
    )  # fmt: skip
    response = problem.response(failure, method="GET", request_id="r", original=original, fields=fields)
    body = await response.body.read()
    assert response.headers.all("content-type") == [problem.MEDIA_TYPE]
    assert response.headers.all("content-length") == [str(len(body))]
    assert response.headers.all("retry-after") == ["1"]
    assert response.headers.all("x-limit") == ["5"]
    assert response.headers.all("cache-status") == ["leeward; fwd=miss"]
    assert response.headers.all("leeward-error") == ["rate_limited"]
    assert response.headers.names().isdisjoint({"content-encoding", "etag", "proxy-status"})
    assert json.loads(body)["retry_after"] == 1


@pytest.mark.parametrize(
    "kind",
    [
        k for k in vars(f).values()
        if isinstance(k, type) and issubclass(k, f.APIError) and k.proxy_status is not None
    ],
)  # fmt: skip
def test_our_own_failures_name_themselves_in_proxy_status(kind):
    response = problem.response(kind(), method="GET", request_id="r")
    assert response.headers.get("proxy-status") == f"leeward; error={kind.proxy_status}"
    assert response.headers.get("leeward-error") == kind.code
    assert response.headers.get("cache-control") == "no-store"


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (None, False),
        ("*/*", False),
        ("application/json", False),
        ("application/problem+json", True),
        ("application/json, Application/Problem+JSON;q=0.5", True),
        ("application/problem+json; q=0", False),
        ("application/problem+json;q=0.0", False),
    ],
)
def test_a_caller_asks_for_the_document_by_name(accept, wanted):
    assert problem.preferred(accept) is wanted


@given(st.binary(max_size=200), st.sampled_from(["", "gzip", "deflate", "br"]))
def test_no_body_breaks_the_telling(body, coding):
    failure, original = told(500, body, ("Content-Encoding", coding))
    json.dumps(problem.document(failure, method="GET", request_id="r", original=original))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "errors", "message", "detail", "code", "title"]), inner)
    ),
    max_leaves=12,
)


@given(JSON)
def test_no_shape_breaks_the_telling(shape):
    failure, _ = told(500, json.dumps(shape).encode())
    assert isinstance(failure.detail, str)
    assert failure.detail


@pytest.mark.parametrize("word", [b"NaN", b"Infinity", b"-Infinity"])
def test_what_is_no_json_is_shown_as_text(word):
    body = b'{"message": ' + word + b"}"
    failure, original = told(400, body)
    assert original == body.decode()
    json.dumps(problem.document(failure, method="GET", request_id="r", original=original), allow_nan=False)


@pytest.mark.parametrize("body", ["é" * 60_000, json.dumps({"message": "é" * 38_000}, ensure_ascii=False)])
def test_original_is_bounded_in_bytes(body):
    _, original = told(400, body.encode())
    assert 65_000 < len(original.encode()) <= problem.MOST_ORIGINAL


@pytest.mark.parametrize(("word", "retryable"), [(True, True), (False, False), (None, True)])
def test_the_upstream_s_own_word_on_repeating_counts(word, retryable):
    failure, _ = told(429, word=word)
    assert problem.document(failure, method="POST", request_id="r")["retryable"] is retryable


def test_a_known_wait_is_told_in_a_field_too():
    failure = f.RateLimitError(retry_after=29.1, upstream=f.UpstreamFacts(name="u", status=429))
    assert problem.annotated(Headers(), failure).get("retry-after") == "30"
    kept = problem.annotated(Headers.of(("Retry-After", "Sun, 22 Nov 2026 00:00:00 GMT")), failure)
    assert kept.all("retry-after") == ["Sun, 22 Nov 2026 00:00:00 GMT"]
