"""What does a caller get for each way in which an upstream may fail?"""

from __future__ import annotations

import gzip
import json

import pytest

JSON = ("Content-Type", "application/json")
INVALID, CONFLICT, SERVER, DOWN = "invalid_request", "conflict", "server_error", "unavailable"
TABLE = {
    **dict.fromkeys([400, 402, 405, 406, 410, 411, 413, 414, 415, 416, 418, 422, 431, 451, 499], INVALID),
    401: "authentication",
    403: "permission_denied",
    404: "not_found",
    **dict.fromkeys([409, 412, 423], CONFLICT),
    429: "rate_limited",
    **dict.fromkeys([500, 501, 502, 505, 507, 520, 599], SERVER),
    **dict.fromkeys([503, 529], DOWN),
    **dict.fromkeys([408, 504], "upstream_timeout"),
}
RETRYABLE = {"rate_limited", SERVER, DOWN, "upstream_timeout"}


@pytest.fixture
def proxy(leeward, origin):
    upstream = {"base_url": origin.url, "retry": {"attempts": 1}}
    modes = {mode: {**upstream, "errors": mode} for mode in ("translate", "annotate", "native")}
    return leeward({"upstreams": modes})


@pytest.mark.parametrize("status", TABLE)
def test_translate(proxy, origin, status):
    sent = {"error": {"message": "It went wrong.", "code": "E42"}}
    origin.on("/x").reply(
        status, json.dumps(sent).encode(), [JSON, ("X-Request-Id", "up-1"), ("X-Rate", "3")]
    )
    answer = proxy.get("/translate/x", ("X-Request-Id", "mine-1"))
    code = TABLE[status]
    assert answer.status == (504 if code == "upstream_timeout" else status)
    document = answer.problem
    assert document.pop("title")
    assert document == {
        "type": "urn:problem-type:leeward:" + code.replace("_", "-"),
        "status": answer.status,
        "detail": "It went wrong.",
        "code": code,
        "retryable": code in RETRYABLE,
        "attempts": 1,
        "request_id": "mine-1",
        "upstream": {"name": "translate", "status": status, "code": "E42", "request_id": "up-1"},
        "original": sent,
    }
    assert answer.headers("X-Request-Id") == ["mine-1"]
    assert answer.header("X-Rate") == "3"
    assert answer.header("Proxy-Status") is None
    assert answer.headers("Content-Length") == [str(len(answer.body))]


@pytest.mark.parametrize("mode", ["annotate", "native"])
@pytest.mark.parametrize("status", TABLE)
def test_annotate(proxy, origin, status, mode):
    origin.on("/x").reply(status, b'{"odd":  "body"}', [("Content-Type", "application/vnd.odd+json")])
    answer = proxy.get(f"/{mode}/x")
    assert (answer.status, answer.body) == (status, b'{"odd":  "body"}')
    assert answer.headers("Content-Type") == ["application/vnd.odd+json"]
    assert answer.headers("Leeward-Error") == [TABLE[status]]


@pytest.mark.parametrize("mode", ["annotate", "native"])
@pytest.mark.parametrize("accept", ["application/problem+json", "text/html, Application/Problem+JSON;q=0.9"])
def test_who_asks_for_the_document_gets_it(proxy, origin, accept, mode):
    origin.on("/x").reply(404, b'{"message": "no such thing"}', [JSON])
    answer = proxy.get(f"/{mode}/x", ("Accept", accept))
    assert (answer.status, answer.code, answer.problem["detail"]) == (404, "not_found", "no such thing")


SHAPES: dict[str, object] = {
    "error": {"error": "said"},
    "error.message": {"error": {"message": "said", "type": "t"}},
    "message": {"message": "said", "documentation_url": "https://localhost/"},
    "detail": {"detail": "said"},
    "title": {"title": "said"},
    "errors[0]": {"errors": ["said", "not this"]},
    "errors[0].message": {"errors": [{"message": "said"}]},
    "errorMessages[0]": {"errorMessages": ["said"], "errors": {}},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_message_is_found(proxy, origin, shape):
    origin.on("/x").reply(422, json.dumps(SHAPES[shape]).encode(), [JSON])
    document = proxy.get("/translate/x").problem
    assert (document["detail"], document["original"]) == ("said", SHAPES[shape])


def test_text(proxy, origin):
    origin.on("/x").reply(400, b"said so", [("Content-Type", "text/plain")])
    document = proxy.get("/translate/x").problem
    assert (document["detail"], document["original"]) == ("said so", "said so")


ODD = {
    "empty": b"",
    "not-json": b'{"message": ',
    "null": b"null",
    "number": b"42",
    "list": b"[]",
    "deep": b"[" * 20_000,
    "nulls": json.dumps({"error": None, "message": None, "errors": [], "errorMessages": None}).encode(),
    "html": b"<html><h1>502 Bad Gateway</h1></html>",
    "binary": bytes(range(256)),
    "surrogate": b'{"message": "\\ud800"}',
    "nan": b'{"message": NaN}',
    "huge-number": b'{"message": ' + b"9" * 9000 + b"}",
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_body_is_still_a_typed_error(proxy, origin, name):
    origin.on("/x").reply(400, ODD[name], [JSON])
    answer = proxy.get("/translate/x")
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert answer.problem["detail"]


def test_a_large_body_is_kept_in_part(proxy, origin):
    origin.on("/x").reply(400, b"m" * 1_000_000, [("Content-Type", "text/plain")])
    document = proxy.get("/translate/x").problem
    assert 0 < len(document["original"]) <= 64 * 1024
    assert proxy.get("/annotate/x").body == b"m" * 1_000_000


def test_a_compressed_body(proxy, origin):
    packed = gzip.compress(b'{"message": "said"}')
    origin.on("/x").reply(404, packed, [JSON, ("Content-Encoding", "gzip")])
    answer = proxy.get("/translate/x", ("Accept-Encoding", "gzip"))
    assert (answer.code, answer.header("Content-Encoding")) == ("not_found", None)
    assert answer.problem["detail"] == "said"
    passed = proxy.get("/annotate/x", ("Accept-Encoding", "gzip"))
    assert (passed.body, passed.headers("Content-Encoding")) == (packed, ["gzip"])


def test_a_bomb_does_not_go_off(proxy, origin):
    before = proxy.rss()
    origin.on("/x").reply(400, gzip.compress(b"0" * 60_000_000), [JSON, ("Content-Encoding", "gzip")])
    assert proxy.get("/translate/x").status == 400
    assert proxy.rss() - before < 30_000_000


def test_a_cut_error_body(proxy, origin):
    origin.on("/x").raw(b'HTTP/1.1 400 B\r\nContent-Length: 99\r\n\r\n{"message": "sai', then="close")
    answer = proxy.get("/translate/x")
    assert (answer.status, answer.code) in [(400, "invalid_request"), (502, "bad_upstream_response")]


@pytest.mark.parametrize("mode", ["translate", "annotate"])
def test_head_has_headers_only(proxy, origin, mode):
    origin.on("/x").reply(404)
    answer = proxy.ask("HEAD", f"/{mode}/x")
    assert (answer.status, answer.body, answer.header("Leeward-Error")) == (404, b"", "not_found")


def test_a_posts_server_error_is_not_retryable(proxy, origin):
    origin.on("/x").reply(500)
    assert proxy.post("/translate/x").problem["retryable"] is False


@pytest.mark.parametrize(("sent", "seconds"), [("7", 7), ("0", 0)])
def test_retry_after_is_in_both_places(leeward, origin, sent, seconds):
    upstream = {"base_url": origin.url, "prefix": "/", "retry": {"attempts": 1}}
    proxy = leeward({"upstreams": {"api": upstream}}, fresh=True)
    origin.on("/x").reply(503, headers=[("Retry-After", sent)])
    answer = proxy.get("/x")
    assert answer.problem["retry_after"] == seconds
    assert answer.headers("Retry-After") == [str(seconds)]
