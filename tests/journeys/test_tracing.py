"""Do spans reach a collector over OTLP, and does one that is not there cost anything?

The collector is the raw origin: what it got is read as protobuf, byte for byte what was sent.
"""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.origin import Origin, closed_port

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
SECRET = "canary-9d31f0"
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "20"}  # milliseconds


@pytest.fixture
def collector():
    with Origin() as server:
        yield server


def config(origin, endpoint, **tracing):
    auth = {"type": "bearer", "token": SECRET}
    upstream = {"base_url": origin.url, "prefix": "/api", "auth": auth}
    return {"upstreams": {"api": upstream}, "tracing": {"otlp_endpoint": endpoint, **tracing}}


def spans(collector) -> list[Span]:
    found = []
    for hit in collector.hits("/v1/traces"):
        assert (hit.method, hit.header("content-type")) == ("POST", "application/x-protobuf")
        sent = ExportTraceServiceRequest.FromString(bytes(hit.body))
        found += [s for r in sent.resource_spans for scope in r.scope_spans for s in scope.spans]
    return found


def said(span: Span) -> dict[str, Any]:
    return {a.key: getattr(a.value, str(a.value.WhichOneof("value"))) for a in span.attributes}


def test_a_retried_request_is_one_trace_from_the_caller_to_the_upstream(leeward, origin, collector):
    origin.on("/x").reply(503).reply(200, b"ok")
    proxy = leeward(config(origin, collector.url), fresh=True)
    answer = proxy.get(f"/api/x?key={SECRET}", ("traceparent", f"{TRACE}-01"), ("tracestate", "a=b"))
    assert answer.status == 200
    assert proxy.stop() == 0  # which drains what is queued
    told = spans(collector)
    (request,) = [span for span in told if span.kind == Span.SPAN_KIND_SERVER]
    first, second = sorted(
        (span for span in told if span.kind == Span.SPAN_KIND_CLIENT), key=lambda s: s.start_time_unix_nano
    )
    assert {span.trace_id.hex() for span in told} == {TRACE.split("-")[1]}
    assert request.parent_span_id.hex() == TRACE.split("-")[2]
    assert first.parent_span_id == second.parent_span_id == request.span_id
    # The upstream's own spans belong below the attempt that reached it.
    received = [hit.headers("traceparent") for hit in origin.hits("/x")]
    assert received == [[f"00-{s.trace_id.hex()}-{s.span_id.hex()}-01"] for s in (first, second)]
    assert [hit.headers("tracestate") for hit in origin.hits("/x")] == [["a=b"]] * 2
    assert said(request)["leeward.attempts"] == 2
    assert (said(first)["leeward.reason"], said(first)["http.response.status_code"]) == ("status", 503)
    assert said(first)["leeward.wait"] > 0
    assert said(second)["http.request.resend_count"] == 1
    assert first.end_time_unix_nano <= second.start_time_unix_nano
    assert SECRET.encode() not in collector.received()


def test_what_the_caller_does_not_sample_passes_untold(leeward, origin, collector):
    proxy = leeward(config(origin, collector.url), fresh=True, env=SOON)
    proxy.get("/api/x", ("traceparent", f"{TRACE}-00"))
    proxy.get("/api/y")
    assert proxy.stop() == 0
    assert {said(span)["url.path"] for span in spans(collector) if "url.path" in said(span)} == {"/api/y"}
    assert origin.hit("/x").headers("traceparent") == [f"{TRACE}-00"]


def test_spans_come_while_it_runs(leeward, origin, collector):
    proxy = leeward(config(origin, f"{collector.url}/v1/traces"), fresh=True, env=SOON)
    proxy.get("/api/x")
    collector.wait_for("/v1/traces")


@pytest.mark.parametrize("hangs", [False, True], ids=["refuses", "hangs"])
def test_a_collector_that_is_not_there_delays_no_request_and_hardly_the_end(
    leeward, origin, collector, hangs
):
    collector.on("/v1/traces").never()
    endpoint = collector.url if hangs else f"http://127.0.0.1:{closed_port()}"
    proxy = leeward(config(origin, endpoint), fresh=True, env=SOON)
    assert [proxy.get("/api/x").status for _ in range(20)] == [200] * 20
    assert proxy.stop() == 0
    assert SECRET not in proxy.stderr
