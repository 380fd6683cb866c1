"""Does Anthropic's own SDK meet through the proxy what it would meet at Anthropic?"""

from __future__ import annotations

import anthropic
import pytest
from anthropic import Anthropic

from tests.clients.vendors import ATTEMPTS, answer, behind, echo, events, keys

MESSAGES = "/v1/messages"


@pytest.fixture
def proxy(leeward, origin):
    return behind(leeward, origin, "anthropic")


@pytest.fixture
def client(proxy):
    with Anthropic(base_url=f"{proxy.base}/anthropic", api_key="unused") as made:
        yield made


WHOLE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}


def ask(client, **more):
    return client.messages.create(
        model="m", max_tokens=10, messages=[{"role": "user", "content": "Hello"}], **more
    )


def delta(text: str) -> str:
    return (
        'event: content_block_delta\ndata: {"type": "content_block_delta", "index": 0, '
        f'"delta": {{"type": "text_delta", "text": "{text}"}}}}\n\n'
    )


def test_a_call(client, origin):
    origin.on(MESSAGES).reply(*answer(WHOLE))
    assert ask(client).content[0].text == "Hi"
    assert keys(origin) == {("key-of-anthropic",)}


def test_the_version_is_the_sdk_s_own_and_for_others_the_preset_s(client, proxy, origin):
    origin.on(MESSAGES).reply(*answer(WHOLE))
    ask(client, extra_headers={"anthropic-version": "2040-01-01"})
    proxy.post("/anthropic/v1/messages")
    versions = [hit.headers("anthropic-version") for hit in origin.hits(MESSAGES)]
    assert versions == [["2040-01-01"], ["2023-06-01"]]


def test_a_stream(client, origin):
    origin.on(MESSAGES).raw(*events(delta("Hel"), "event: ping\ndata: {}\n\n", delta("lo")))
    assert [event.delta.text for event in ask(client, stream=True)] == ["Hel", "lo"]


def test_an_upload(client, origin):
    file = {
        "id": "f",
        "type": "file",
        "filename": "a",
        "mime_type": "text/plain",
        "created_at": "2026-01-01T00:00:00Z",
    }
    origin.on("/v1/files").raw(echo(lambda hit: {**file, "size_bytes": hit.body.count(b"line\n")}))
    sent = client.beta.files.upload(file=("a.txt", b"line\n" * 40_000, "text/plain"))
    assert sent.size_bytes == 40_000


FAILURES = [
    (400, "invalid_request_error", {}, anthropic.BadRequestError, 1),
    (401, "authentication_error", {}, anthropic.AuthenticationError, 1),
    (403, "permission_error", {}, anthropic.PermissionDeniedError, 1),
    (404, "not_found_error", {}, anthropic.NotFoundError, 1),
    (409, "conflict_error", {}, anthropic.ConflictError, 1),
    (429, "rate_limit_error", {}, anthropic.RateLimitError, ATTEMPTS),
    (429, "rate_limit_error", {"error_code": "enforced_spend_limit_reached"}, anthropic.RateLimitError, 1),
    (500, "api_error", {}, anthropic.InternalServerError, 1),
    (529, "overloaded_error", {}, anthropic.InternalServerError, 1),
]


@pytest.mark.parametrize(("status", "code", "details", "kind", "calls"), FAILURES)
def test_each_failure_is_the_sdk_s_own_and_is_repeated_by_nobody_else(
    client, origin, status, code, details, kind, calls
):
    error = {"type": code, "message": "It went wrong.", **({"details": details} if details else {})}
    document = {"type": "error", "error": error, "request_id": "req_1"}
    origin.on(MESSAGES).reply(*answer(document, status))
    with pytest.raises(kind) as raised:
        ask(client)
    assert raised.value.status_code == status
    assert raised.value.body == document
    assert origin.count(MESSAGES) == calls, "the SDK's own two retries are held back"


@pytest.mark.parametrize(
    ("prefix", "status", "word"), [("gone", 502, "api_error"), ("slow", 504, "timeout_error")]
)
def test_a_failure_of_ours_is_the_sdk_s_own_as_well(proxy, origin, prefix, status, word):
    origin.on(MESSAGES).never()
    client = Anthropic(base_url=f"{proxy.base}/{prefix}", api_key="unused", max_retries=0)
    with client, pytest.raises(anthropic.InternalServerError) as raised:
        ask(client)
    assert raised.value.status_code == status
    assert word in str(raised.value.body)


def test_a_stream_that_breaks_is_an_error_of_the_sdk_s(client, origin):
    origin.on(MESSAGES).raw(*events(delta("Hel"), delta("lo")[:50], last=False), then="reset")
    stream = iter(ask(client, stream=True))
    assert next(stream).delta.text == "Hel"
    with pytest.raises(anthropic.APIStatusError) as raised:
        next(stream)
    assert "api_error" in str(raised.value.body)


def test_calls_of_a_dead_vendor_stay_within_the_budget(proxy, origin):
    origin.on("/v1/models").reply(529)
    with Anthropic(base_url=f"{proxy.base}/dear", api_key="unused") as client:
        for _ in range(10):
            with pytest.raises(anthropic.InternalServerError):
                client.models.list()
    assert origin.count("/v1/models") <= 12
