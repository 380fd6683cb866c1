"""The order of the steps, and what a caller is told; everything else around it is a few lines of fake."""

import json
from dataclasses import replace
from typing import Any

import pytest

from proxy.core.exchange import Attempt, Exchange
from proxy.core.failure import (
    CircuitOpenError,
    ConnectError,
    InvalidRequestError,
    NoRouteError,
    PermissionDeniedError,
    RateLimitError,
    UpstreamProtocolError,
)
from proxy.core.message import Headers, Request, Response, Whole
from proxy.core.reason import Reason
from proxy.core.routing import ErrorMode, Match, Table
from proxy.gateway.pipeline import Pipeline, failed, signed
from tests.core.test_routing import NoCredential, route


class Clock:
    def now(self) -> float:
        return 0.0

    def wall(self) -> float:
        return 1_000_000_000.0


class NoCaching:
    """Asks the upstream at once."""

    async def answer(self, request: Request, _route: Any, exchange: Any, fetch: Any) -> Response:
        response: Response = await fetch(request, exchange)
        return response


class NoRepeats:
    """Knows nothing of what was asked before."""

    async def answer(self, _asked: Any, onward: Any, _route: Any, _exchange: Any, through: Any) -> Response:
        response: Response = await through(onward)
        return response


class Says:
    """An upstream that answers one thing, and remembers what it was asked."""

    def __init__(self, response: Response) -> None:
        self.response = response
        self.asked: list[Request] = []

    async def send(self, request: Request, _route: Any, exchange: Exchange) -> Response:
        self.asked.append(request)
        exchange.attempts.append(Attempt(started=0.0, status=self.response.status))
        return self.response


class Breaks:
    """A body that breaks off."""

    length = None

    def __init__(self) -> None:
        self.pieces = [b'{"message":']
        self.closed = False

    async def read(self) -> bytes:
        if self.pieces:
            return self.pieces.pop()
        raise UpstreamProtocolError("cut")

    def close(self) -> None:
        self.closed = True


class Endless(Breaks):
    async def read(self) -> bytes:
        return b"x" * 1000


def answered(status: int, body: Any = b"", *fields: tuple[str, str]) -> Response:
    whole = Whole(body) if isinstance(body, bytes) else body
    return Response(status=status, reason="Said", headers=Headers.of(*fields), body=whole)


def pipeline(upstream: Says, **changes: Any) -> Pipeline:
    table = Table([replace(route("up", "/up"), **changes)])
    return Pipeline(
        table=table,
        repeats=NoRepeats(),  # type: ignore[arg-type]
        caching=NoCaching(),  # type: ignore[arg-type]
        upstream=upstream,
        clock=Clock(),
    )


def exchange() -> Exchange:
    return Exchange(id="ID", method="GET", target="/up/x", started=0.0, at=0.0)


async def through(upstream: Says, *fields: tuple[str, str], method: str = "GET", **changes: Any) -> Any:
    record = exchange()
    request = Request(method=method, target="/up/x?y", headers=Headers.of(*fields), body=Whole(), host="h")
    response = await pipeline(upstream, **changes).answer(request, record, traceparent="TP")
    return response, record


async def body_of(response: Response) -> bytes:
    data = b""
    while piece := await response.body.read():
        data += piece
    return data


async def test_the_time_that_a_request_has_counts_from_its_coming():
    _, record = await through(Says(answered(200, b"")), ("X-Request-Timeout", "2.5"))
    assert record.deadline == record.started + 2.5
    _, record = await through(Says(answered(200, b"")))
    assert record.deadline == record.started + 60


async def test_what_goes_up_and_what_comes_down():
    upstream = Says(
        answered(200, b"hello", ("X-Upstream", "1"), ("X-Request-Id", "theirs"), ("Via", "1.1 cdn"))
    )
    response, record = await through(upstream, ("Connection", "x-drop"), ("X-Drop", "1"), ("X-Keep", "2"))
    [asked] = upstream.asked
    assert asked.target == "/x?y"
    assert asked.headers.names() == {"x-keep", "x-request-id", "traceparent", "via"}
    assert record.route == "up"
    assert response.headers.all("x-request-id") == ["ID"]
    assert response.headers.all("leeward-upstream-request-id") == ["theirs"]
    assert response.headers.all("via") == ["1.1 cdn", "1.1 leeward"]
    assert "leeward-attempts" not in response.headers
    assert response.headers.get("x-upstream") == "1"
    assert await body_of(response) == b"hello"


async def test_several_attempts_are_told():
    upstream = Says(answered(200))
    record = exchange()
    record.attempts.append(Attempt(started=0.0, status=503))
    request = Request(method="GET", target="/up/x", headers=Headers(), body=Whole(), host="h")
    response = await pipeline(upstream).answer(request, record, traceparent="TP")
    assert response.headers.all("leeward-attempts") == ["2"]


async def test_no_route():
    request = Request(method="GET", target="/elsewhere", headers=Headers(), body=Whole(), host="h")
    with pytest.raises(NoRouteError):
        await pipeline(Says(answered(200))).answer(request, exchange(), traceparent="TP")


async def test_what_the_fence_does_not_allow_is_told_of_its_route_and_goes_nowhere():
    upstream, record = Says(answered(200)), exchange()
    request = Request(method="GET", target="/up/x", headers=Headers(), body=Whole(), host="h")
    fenced = pipeline(upstream, allow=(Match(method="GET", path="/y"),))
    with pytest.raises(PermissionDeniedError):
        await fenced.answer(request, record, traceparent="TP")
    assert (record.route, upstream.asked) == ("up", [])
    await pipeline(upstream, allow=(Match(path="/x"),)).answer(request, record, traceparent="TP")
    assert len(upstream.asked) == 1


async def test_translate():
    said = answered(
        429, b'{"message": "slow down"}', ("Retry-After", "7"), ("Content-Type", "application/json")
    )
    response, record = await through(Says(said))
    document = json.loads(await body_of(response))
    assert (response.status, document["code"], document["detail"]) == (429, "rate_limited", "slow down")
    assert (document["retry_after"], response.headers.all("retry-after")) == (7, ["7"])
    assert document["upstream"] == {"name": "up", "status": 429, "code": None, "request_id": None}
    assert document["request_id"] == "ID"
    assert (record.code, type(record.error)) == ("rate_limited", RateLimitError)


@pytest.mark.parametrize("mode", [ErrorMode.ANNOTATE, ErrorMode.NATIVE])
async def test_annotate_leaves_the_body_alone(mode):
    response, record = await through(
        Says(answered(404, b"<gone>", ("Content-Type", "text/html"))), errors=mode
    )
    assert await body_of(response) == b"<gone>"
    assert response.headers.all("leeward-error") == ["not_found"]
    assert response.headers.all("content-type") == ["text/html"]
    assert record.code == "not_found"


async def test_a_caller_that_asks_for_the_document_gets_it_in_every_mode():
    response, _ = await through(
        Says(answered(404, b"<gone>")), ("Accept", "application/problem+json"), errors=ErrorMode.ANNOTATE
    )
    assert json.loads(await body_of(response))["original"] == "<gone>"


async def test_an_error_body_that_breaks_off_still_gives_a_whole_document():
    body = Breaks()
    response, _ = await through(Says(answered(500, body)))
    document = json.loads(await body_of(response))
    assert (document["code"], document["original"]) == ("server_error", '{"message":')
    assert body.closed


async def test_an_endless_error_body_is_cut_at_what_is_shown():
    body = Endless()
    response, _ = await through(Says(answered(500, body)))
    assert len(json.loads(await body_of(response))["original"]) == 64 * 1024
    assert body.closed


async def test_the_injected_credential_is_masked():
    class Masking(NoCredential):
        def mask(self, text: str) -> str:
            return text.replace("canary", "***")

    response, _ = await through(Says(answered(401, b'{"message": "no canary"}')), injector=Masking())
    assert b"canary" not in await body_of(response)


async def test_a_failure_of_our_own():
    record = exchange()
    response = failed(RateLimitError("ours", retry_after=1.5), "GET", record)
    assert response.headers.get("retry-after") == "2"
    assert response.headers.get("x-request-id") == "ID"
    assert record.code == "rate_limited"


async def test_a_failure_of_our_own_names_its_upstream_and_what_the_cache_did():
    record = exchange()
    record.route = "up"
    record.reason = Reason.URI_MISS
    response = failed(ConnectError("no way"), "GET", record)
    document = json.loads(await body_of(response))
    assert document["upstream"] == {"name": "up", "status": None, "code": None, "request_id": None}
    assert response.headers.get("cache-status") == "leeward; fwd=uri-miss"
    assert response.headers.get("proxy-status") == "leeward; error=destination_unavailable"
    assert "original" not in document


async def test_an_upstream_cannot_speak_of_our_errors():
    response, _ = await through(Says(answered(200, b"fine", ("Leeward-Error", "fake"))))
    assert "leeward-error" not in response.headers


async def test_an_upstream_that_says_no_more_is_believed():
    response, _ = await through(Says(answered(500, b"{}", ("X-Should-Retry", "false"))))
    assert json.loads(await body_of(response))["retryable"] is False


async def test_annotate_tells_a_known_wait():
    said = answered(429, b"slow", ("Retry-After-Ms", "30000"))
    response, _ = await through(Says(said), errors=ErrorMode.ANNOTATE)
    assert response.headers.all("retry-after") == ["30"]
    assert "proxy-status" not in response.headers


async def test_the_key_that_it_went_with_is_told_and_never_the_upstreams_word_for_it():
    record = exchange()
    record.idempotency_key = "k-1"
    assert failed(ConnectError("no"), "POST", record).headers.all("leeward-idempotency-key") == ["k-1"]
    response, _ = await through(Says(answered(200, b"", ("Leeward-Idempotency-Key", "theirs"))))
    assert "leeward-idempotency-key" not in response.headers


async def test_a_key_used_for_another_request_says_so():
    record = exchange()
    record.reason = Reason.KEY_REUSED
    response = failed(InvalidRequestError("used", status=422), "POST", record)
    assert (response.status, response.headers.get("cache-status")) == (422, "leeward; detail=key-reused")


# What an SDK above is told, so that its retries do not multiply ours


async def given_up(reason: Reason, *fields: tuple[str, str], tries: int = 2) -> list[str]:
    record = exchange()
    record.attempts = [Attempt(started=0.0, reason=Reason.STATUS) for _ in range(tries - 1)]
    record.attempts.append(Attempt(started=0.0, reason=reason))
    response = Response(status=500, headers=Headers.of(*fields), body=Whole())
    headers = signed(response, record).headers
    return headers.all("x-should-retry") + headers.all("stripe-should-retry")


@pytest.mark.parametrize(
    ("reason", "tries", "expected"),
    [
        (Reason.ATTEMPTS_USED, 3, ["false"]),
        (Reason.NO_TIME_LEFT, 2, ["false"]),
        (Reason.CIRCUIT_OPEN, 2, ["false"]),
        (Reason.BUDGET_SPENT, 1, ["false"]),
        (Reason.ATTEMPTS_USED, 1, []),  # we do not retry here: that is left to the SDK
        (Reason.MAY_HAVE_HAPPENED, 1, []),
        (Reason.RETRY_AFTER_TOO_LONG, 2, []),  # the SDK may wait for it
        (Reason.FINAL, 1, []),
    ],
)
async def test_what_was_repeated_enough_says_so(reason: Reason, tries: int, expected: list[str]) -> None:
    assert await given_up(reason, tries=tries) == expected


async def test_the_upstreams_own_word_about_repeating_is_replaced_then() -> None:
    assert await given_up(Reason.ATTEMPTS_USED, ("X-Should-Retry", "true")) == ["false"]
    assert await given_up(Reason.ATTEMPTS_USED, ("Stripe-Should-Retry", "true")) == ["false", "false"]
    assert await given_up(Reason.SHOULD_NOT_RETRY, ("X-Should-Retry", "false"), tries=1) == ["false"]


async def test_what_held_us_back_before_any_attempt_says_nothing() -> None:
    assert failed(CircuitOpenError(retry_after=3), "GET", exchange()).headers.get("x-should-retry") is None


async def test_the_callers_priority_is_noted_and_not_passed_on() -> None:
    says = Says(answered(200))
    _, record = await through(says, ("Leeward-Priority", "batch"))
    assert record.priority == "batch"
    assert "leeward-priority" not in says.asked[0].headers


async def test_a_429s_reset_is_told_as_retry_after() -> None:
    said = answered(429, b"", ("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1000000009"))
    response, _ = await through(Says(said))
    assert response.headers.all("retry-after") == ["9"]
