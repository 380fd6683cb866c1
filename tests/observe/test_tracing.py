"""What stands in a span, and what never does; what a dead collector costs. The collector's end is real
in tests/journeys/test_tracing.py."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, StatusCode

from proxy.core.exchange import Attempt, Exchange, Held, Verdict
from proxy.core.failure import ConnectError, DeadlineExceededError
from proxy.core.reason import Reason
from proxy.core.tracing import Trace
from proxy.observe.tracing import Traces, exporter
from tests.observe.exchanges import exchange, observed

TRACE = Trace(trace_id=0xABC, span_id=0x1, parent=0x9)
BEGUN = 1_700_000_000 * 10**9


class Collected(SpanExporter):
    """Takes what it is given, or hangs until it is let go."""

    def __init__(self, *, hangs: bool = False) -> None:
        self.spans: list[ReadableSpan] = []
        self.free = threading.Event()
        if not hangs:
            self.free.set()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.free.wait(30)
        self.spans += spans
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None: ...


def traced(trace: Trace | None = TRACE, **said: Any) -> Exchange:
    made = exchange(**said)
    made.trace = trace
    for number, attempt in enumerate(made.attempts):
        attempt.span = 0x10 + number
        attempt.url = "http://127.0.0.1:9000/v1/users"
    return made


async def started(collector: Collected, **said: Any) -> Traces:
    """As the wiring does it: what OpenTelemetry reads at its start may take its time."""
    return await asyncio.to_thread(Traces, collector, **{"version": "1", "prefixes": {}, **said})


async def told(*exchanges: Exchange, **said: Any) -> list[ReadableSpan]:
    collector = Collected()
    traces = await started(collector, version="1.2.3", prefixes={"github": "/github"}, **said)
    for made in exchanges:
        observed(traces, made)
    await traces.close(10)
    return collector.spans


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_a_request_is_a_span_with_one_below_for_each_attempt() -> None:
    first, second, request = await told(traced(outcomes=("5xx", "2xx"), seconds=0.5))
    for span, number in ((first, 0x10), (second, 0x11)):
        assert span.context is not None
        assert (span.context.trace_id, span.context.span_id) == (0xABC, number)
        assert span.parent is not None
        assert (span.parent.span_id, span.kind) == (0x1, SpanKind.CLIENT)
    assert request.context is not None
    assert request.parent is not None
    assert (request.context.span_id, request.parent.span_id) == (0x1, 0x9)
    assert (request.kind, request.parent.is_remote) == (SpanKind.SERVER, True)
    assert (request.start_time, request.end_time) == (BEGUN, BEGUN + 5 * 10**8)
    assert (first.start_time, first.end_time) == (BEGUN, BEGUN + 2 * 10**8)


async def test_what_the_spans_say() -> None:
    first, second, request = await told(traced(outcomes=("5xx", "2xx")), scheme="https")
    assert request.name == "GET /github"
    assert attributes(request) == {
        "http.request.method": "GET",
        "url.path": "/github/users",
        "url.scheme": "https",
        "http.route": "/github",
        "http.response.status_code": 200,
        "leeward.request_id": "01JD",
        "leeward.upstream": "github",
        "leeward.cache": "miss",
        "leeward.reason": "uri-miss",
        "leeward.attempts": 2,
    }
    assert first.name == "GET"
    assert attributes(first) == {
        "http.request.method": "GET",
        "url.full": "http://127.0.0.1:9000/v1/users",
        "server.address": "127.0.0.1",
        "server.port": 9000,
        "http.response.status_code": 500,
        "error.type": "500",
        "leeward.upstream": "github",
        "leeward.outcome": "5xx",
        "leeward.reason": "status",
        "leeward.wait": 0.25,
    }
    assert attributes(second)["http.request.resend_count"] == 1
    assert "error.type" not in attributes(second)
    assert [span.status.status_code for span in (first, second, request)] == [
        StatusCode.ERROR,
        StatusCode.UNSET,
        StatusCode.UNSET,
    ]


async def test_the_process_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    (span,) = await told(traced())
    assert span.resource.attributes["service.name"] == "leeward"
    assert span.resource.attributes["service.version"] == "1.2.3"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "sidecar")
    (span,) = await told(traced())
    assert span.resource.attributes["service.name"] == "sidecar"


async def test_a_trace_that_begins_here_has_no_parent() -> None:
    (span,) = await told(traced(Trace(trace_id=1, span_id=2)))
    assert span.parent is None


async def test_what_is_not_sampled_is_not_told() -> None:
    assert await told(traced(None, outcomes=("2xx",))) == []


@pytest.mark.parametrize(
    ("said", "error", "failed"),
    [
        ({"status": 404, "code": "not_found"}, None, False),
        ({"status": 502, "error": ConnectError()}, "connect_failed", True),
        ({"status": 504, "error": DeadlineExceededError()}, "deadline_exceeded", True),
    ],
)
async def test_what_is_an_error(said: dict[str, Any], error: str | None, failed: bool) -> None:
    (span,) = await told(traced(**said))
    assert attributes(span).get("error.type") == error
    assert (span.status.status_code is StatusCode.ERROR) is failed


async def test_an_attempt_without_an_answer_says_how_it_ended() -> None:
    timeout, _ = await told(traced(outcomes=("timeout",), status=504))
    assert attributes(timeout)["error.type"] == "timeout"
    assert timeout.status.status_code is StatusCode.ERROR


async def test_an_attempt_that_its_caller_left_is_told_with_the_request() -> None:
    made = traced(status=499)
    made.cut = True
    made.attempts.append(Attempt(started=100.0, seconds=0.1, span=0x7, url="https://api.example/x"))
    collector = Collected()
    traces = await started(collector)
    traces.opened(made)
    traces.closed(made)
    await traces.close(10)
    attempt, request = collector.spans
    assert attributes(attempt)["error.type"] == "cancelled"
    assert attributes(attempt)["server.port"] == 443
    assert attributes(request)["error.type"] == "cancelled"
    assert request.name == "GET"


async def test_no_callers_string_and_no_secret_stands_in_a_span() -> None:
    made = traced(
        method="CANARY-1", target="/canary-2/x?token=canary-3", id="canary-4", route="", outcomes=("2xx",)
    )
    made.attempts[0].url = "http://127.0.0.1/canary-5"
    made.verdict, made.reason = Verdict.BYPASS, Reason.METHOD
    spans = await told(made, mask=lambda text: text.replace("canary-", "***"))
    shown = " ".join(f"{span.name} {attributes(span)}" for span in spans)
    assert "canary" not in shown.lower()
    assert {attributes(span)["http.request.method"] for span in spans} == {"_OTHER"}
    assert [span.name for span in spans] == ["HTTP", "HTTP"]


async def test_a_collector_that_hangs_delays_neither_requests_nor_the_end() -> None:
    collector = Collected(hangs=True)
    traces = await started(collector)
    for _ in range(5000):
        observed(traces, traced())
    await traces.close(0)
    collector.free.set()


def test_the_collectors_url_is_its_base_or_whole() -> None:
    for written in ("http://127.0.0.1:4318", "http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"):
        made = exporter(written)
        assert made._endpoint == "http://127.0.0.1:4318/v1/traces"  # type: ignore[attr-defined]
        made.shutdown()


async def test_what_held_it_back_is_told_in_seconds() -> None:
    made = traced()
    made.held = [Held(reason=reason, seconds=0.5) for reason in (Reason.QUEUED, Reason.PACED, Reason.QUEUED)]
    made.unkept = Reason.BODY_TOO_LARGE
    (span,) = await told(made)
    assert attributes(span)["leeward.held.queued"] == 1.0
    assert attributes(span)["leeward.held.paced"] == 0.5
    assert attributes(span)["leeward.unkept"] == "body-too-large"
