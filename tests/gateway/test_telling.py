"""How is a failure told, in each mode and in the vendor's own form?"""

import json
from dataclasses import replace
from typing import Any

import pytest

from proxy.core.classify import Fault
from proxy.core.dialect import Dialect, Form, Place, Row
from proxy.core.exchange import Exchange
from proxy.core.failure import (
    ConnectError,
    NotFoundError,
    QuotaExhaustedError,
    RateLimitError,
    UpstreamProtocolError,
)
from proxy.core.message import Headers, Request, Response, Whole
from proxy.core.resilience.retry import RetryPolicy
from proxy.core.routing import ErrorMode
from proxy.gateway.pipeline import Pipeline
from tests.gateway.test_pipeline import Breaks, Says, answered, exchange, pipeline


def request(target: str, *fields: tuple[str, str]) -> Request:
    return Request(method="GET", target=target, headers=Headers.of(*fields), body=Whole())


def data(response: Response) -> bytes:
    assert isinstance(response.body, Whole)
    return response.body.data


FORM = Form(
    body={"error": {"message": "{message}", "type": "{word}"}}, words={"*": "api_error"}, event="error"
)
SPEAKS = Dialect(
    code=(Place.of("error.code"),),
    message=(Place.of("error.message"),),
    rows=(
        Row(kind=RateLimitError, statuses=frozenset({403}), codes=("limit",), wait=60.0),
        Row(kind=QuotaExhaustedError, statuses=frozenset({402})),
    ),
    forms=(FORM,),
    stop=(("x-should-retry", "false"),),
)


class Fails:
    async def send(self, _request: Request, _route: Any, _exchange: Exchange) -> Response:
        raise ConnectError("No connection could be made.")


def told(upstream: Any, mode: ErrorMode, **changes: Any) -> Pipeline:
    return pipeline(upstream, errors=mode, dialect=SPEAKS, **changes)


async def test_a_failure_of_ours_is_told_in_the_vendor_s_form():
    record = exchange()
    response = await told(Fails(), ErrorMode.NATIVE).answer(request("/up/x"), record, traceparent="")
    assert json.loads(data(response)) == {
        "error": {"message": "No connection could be made.", "type": "api_error"}
    }
    assert response.status == 502
    headers = response.headers
    assert headers.get("leeward-error") == "connect_failed"
    assert headers.get("proxy-status") == "leeward; error=destination_unavailable"
    assert headers.get("x-should-retry") == "false"
    assert headers.get("x-request-id") == record.id
    assert record.code == "connect_failed"
    assert isinstance(record.error, ConnectError)


@pytest.mark.parametrize("mode", [ErrorMode.TRANSLATE, ErrorMode.ANNOTATE])
async def test_in_the_other_modes_it_is_the_document(mode):
    with pytest.raises(ConnectError):
        await told(Fails(), mode).answer(request("/up/x"), exchange(), traceparent="")


async def test_who_asks_for_the_document_gets_it_for_our_own_failures_too():
    asking = request("/up/x", ("Accept", "application/problem+json"))
    with pytest.raises(ConnectError):
        await told(Fails(), ErrorMode.NATIVE).answer(asking, exchange(), traceparent="")


LIMITED = b'{"error": {"code": "limit", "message": "Slower!"}}'


@pytest.mark.parametrize("mode", [ErrorMode.ANNOTATE, ErrorMode.NATIVE])
async def test_what_the_preset_knows_is_said_beside_the_vendor_s_own_words(mode):
    upstream = Says(answered(403, LIMITED, ("X-Should-Retry", "true")))
    record = exchange()
    response = await told(upstream, mode).answer(request("/up/x"), record, traceparent="")
    assert (response.status, data(response)) == (403, LIMITED)
    assert response.headers.get("leeward-error") == "rate_limited"
    assert response.headers.get("retry-after") == "60"
    assert response.headers.all("x-should-retry") == ["false"]
    assert record.code == "rate_limited"


async def test_translated_it_has_the_status_of_what_it_is():
    response = await told(Says(answered(403, LIMITED)), ErrorMode.TRANSLATE).answer(
        request("/up/x"), exchange(), traceparent=""
    )
    document = json.loads(data(response))
    assert (response.status, document["status"], document["code"]) == (429, 429, "rate_limited")
    assert (document["detail"], document["retry_after"]) == ("Slower!", 60)
    assert document["upstream"] == {"name": "up", "status": 403, "code": "limit", "request_id": None}


async def test_a_success_that_is_a_failure_is_told_as_one():
    fault = Fault(kind=NotFoundError, status=200)
    body = b'{"ok": false, "error": {"code": "gone"}}'
    said = replace(answered(200, body), fault=fault)
    native_ = await told(Says(said), ErrorMode.NATIVE).answer(request("/up/x"), exchange(), traceparent="")
    assert (native_.status, data(native_)) == (200, body)
    assert native_.headers.get("leeward-error") == "not_found"
    translated = await told(Says(said), ErrorMode.TRANSLATE).answer(
        request("/up/x"), exchange(), traceparent=""
    )
    assert translated.status == 404
    assert json.loads(data(translated))["upstream"]["code"] == "gone"


async def test_who_does_not_repeat_here_leaves_it_to_the_sdk():
    once = RetryPolicy(attempts=1)
    response = await told(Says(answered(500)), ErrorMode.NATIVE, retry=once).answer(
        request("/up/x"), exchange(), traceparent=""
    )
    assert "x-should-retry" not in response.headers


async def test_a_stream_gets_a_last_word_in_the_vendor_s_form_only():
    class Stream(Breaks):
        def __init__(self) -> None:
            super().__init__()
            self.pieces = [b"data: 1\n\n"]

    for mode, said in ((ErrorMode.NATIVE, b"event: error\ndata: "), (ErrorMode.ANNOTATE, b"")):
        upstream = Says(answered(200, Stream(), ("Content-Type", "text/event-stream")))
        response = await told(upstream, mode).answer(request("/up/x"), exchange(), traceparent="")
        assert await response.body.read() == b"data: 1\n\n"
        if said:
            assert (await response.body.read()).startswith(said)
        with pytest.raises(UpstreamProtocolError):
            await response.body.read()
