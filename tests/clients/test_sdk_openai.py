"""Does OpenAI's own SDK meet through the proxy what it would meet at OpenAI?"""

from __future__ import annotations

import openai
import pytest
from openai import OpenAI

from tests.clients.vendors import ATTEMPTS, answer, behind, echo, events, keys

CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def proxy(leeward, origin):
    return behind(leeward, origin, "openai")


@pytest.fixture
def client(proxy):
    with OpenAI(base_url=f"{proxy.base}/openai", api_key="unused") as made:
        yield made


def said(delta: str) -> str:
    return (
        'data: {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", '
        f'"choices": [{{"index": 0, "delta": {{"content": "{delta}"}}}}]}}\n\n'
    )


def ask(client, **more):
    return client.chat.completions.create(model="m", messages=MESSAGES, **more)


def test_a_call(client, origin):
    message = {"role": "assistant", "content": "Hi"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    whole = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    origin.on(CHAT).reply(*answer(whole))
    assert ask(client).choices[0].message.content == "Hi"
    assert keys(origin) == {("Bearer key-of-openai",)}


def test_a_stream(client, origin):
    origin.on(CHAT).raw(*events(said("Hel"), said("lo"), "data: [DONE]\n\n"))
    assert [c.choices[0].delta.content for c in ask(client, stream=True)] == ["Hel", "lo"]


def test_an_upload(client, origin):
    file = {"id": "f", "object": "file", "created_at": 1, "filename": "a", "purpose": "batch", "status": "ok"}
    origin.on("/v1/files").raw(echo(lambda hit: {**file, "bytes": hit.body.count(b"line\n")}))
    assert client.files.create(file=("a.jsonl", b"line\n" * 40_000), purpose="batch").bytes == 40_000


FAILURES = [
    (400, "invalid_value", openai.BadRequestError, 1),
    (401, "invalid_api_key", openai.AuthenticationError, 1),
    (403, "unsupported_country", openai.PermissionDeniedError, 1),
    (404, "model_not_found", openai.NotFoundError, 1),
    (409, "conflict", openai.ConflictError, 1),
    (422, "unprocessable", openai.UnprocessableEntityError, 1),
    (429, "rate_limit_exceeded", openai.RateLimitError, ATTEMPTS),
    (429, "insufficient_quota", openai.RateLimitError, 1),
    (429, "project_spend_limit_exceeded", openai.RateLimitError, 1),
    (500, "server_error", openai.InternalServerError, 1),
    (503, "overloaded", openai.InternalServerError, 1),
]


@pytest.mark.parametrize(("status", "code", "kind", "calls"), FAILURES)
def test_each_failure_is_the_sdk_s_own_and_is_repeated_by_nobody_else(
    client, origin, status, code, kind, calls
):
    error = {"message": "It went wrong.", "type": "some_type", "param": "p", "code": code}
    origin.on(CHAT).reply(status, answer({"error": error})[1], [("X-Request-Id", "req_1"), *answer("")[2]])
    with pytest.raises(kind) as raised:
        ask(client)
    failure = raised.value
    assert type(failure) is kind
    assert (failure.status_code, failure.code, failure.param) == (status, code, "p")
    assert failure.body == error
    assert failure.response.headers["leeward-upstream-request-id"] == "req_1"
    assert origin.count(CHAT) == calls, "the SDK's own two retries are held back"


def test_what_may_be_repeated_is_repeated_until_it_works(client, origin):
    models = {"object": "list", "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "o"}]}
    origin.on("/v1/models").reply(500).reply(429, b"", [("Retry-After-Ms", "10")]).reply(*answer(models))
    assert [model.id for model in client.models.list()] == ["m"]
    assert origin.count("/v1/models") == 3


@pytest.mark.parametrize(
    ("prefix", "status", "code"), [("gone", 502, "connect_failed"), ("slow", 504, "upstream_timeout")]
)
def test_a_failure_of_ours_is_the_sdk_s_own_as_well(proxy, origin, prefix, status, code):
    origin.on(CHAT).never()
    client = OpenAI(base_url=f"{proxy.base}/{prefix}", api_key="unused", max_retries=0)
    with client, pytest.raises(openai.InternalServerError) as raised:
        ask(client)
    assert (raised.value.status_code, raised.value.code, raised.value.type) == (status, code, "server_error")


def test_a_stream_that_breaks_is_an_error_of_the_sdk_s(client, origin):
    origin.on(CHAT).raw(*events(said("Hel"), said("lo")[:40], last=False), then="reset")
    got = []
    with pytest.raises(openai.APIError) as raised:
        got += [chunk.choices[0].delta.content for chunk in ask(client, stream=True)]
    assert type(raised.value) is openai.APIError
    assert "bad_upstream_response" in str(raised.value.body)
    assert got == []


def test_what_came_of_a_stream_that_breaks_is_not_lost(client, origin):
    origin.on(CHAT).raw(*events(said("Hel"), said("lo")[:40], last=False), then="reset")
    stream = iter(ask(client, stream=True))
    assert next(stream).choices[0].delta.content == "Hel"
    with pytest.raises(openai.APIError, match=r"broke|closed|cut"):
        next(stream)


def test_calls_of_a_dead_vendor_stay_within_the_budget(proxy, origin):
    origin.on("/v1/models").reply(503)
    with OpenAI(base_url=f"{proxy.base}/dear", api_key="unused") as client:
        for _ in range(10):
            with pytest.raises(openai.InternalServerError):
                client.models.list()
    # Ten calls, and a fifth more; without the word to the SDK it would be ninety.
    assert origin.count("/v1/models") <= 12
