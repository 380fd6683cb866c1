"""How does a request look in a trace, and how does it get to the collector without being waited for?

Read from the exchange: one span for the request, one below it for each attempt, with OpenTelemetry's names
for HTTP. The law: a method that is not known, a query, a header or a body stands in no span, and a secret
in a path is masked. A full queue loses spans; a collector that is slow or gone delays no request, and the
end of the process by a bounded time only.

This file alone imports OpenTelemetry, and is imported only where `tracing.otlp_endpoint` is set.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from proxy.core.exchange import Attempt, Exchange, Pass, Repeat
from proxy.core.tracing import Trace
from proxy.observe.metrics import METHODS

_MOST_PATH = 512  # characters, as in the list of recent requests
_EXPORT_TIMEOUT = 5.0  # seconds for one delivery, its repetitions included
_SIGNAL = "/v1/traces"
_FIRST_FAILURE = 400
_FIRST_SERVER_FAILURE = 500
_CANCELLED = "cancelled"
_LOGGER = logging.getLogger("leeward.observe")

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_FAILED = Status(StatusCode.ERROR)
_UNSET = Status(StatusCode.UNSET)

_PORTS = {"http": 80, "https": 443}

Value = str | bool | int | float


def exporter(endpoint: str) -> SpanExporter:
    """OTLP over HTTP to a collector's base URL, or to the whole one where it names the signal."""
    url = endpoint.rstrip("/")
    return OTLPSpanExporter(endpoint=url if url.endswith(_SIGNAL) else url + _SIGNAL, timeout=_EXPORT_TIMEOUT)


class Traces:
    """A core.ports.Observer that hands spans to a queue, which a thread of its own empties."""

    def __init__(
        self,
        to: SpanExporter,
        *,
        version: str,
        prefixes: Mapping[str, str],
        scheme: str = "http",
        mask: Callable[[str], str] = str,
    ) -> None:
        """`prefixes` are the routes' by name, `scheme` is how callers reach us."""
        # What the environment says of the process (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES) wins.
        own = Resource.create({"service.name": "leeward", "service.version": version})
        self._resource = own.merge(OTELResourceDetector().detect())
        self._scope = InstrumentationScope("leeward", version)
        self._prefixes = prefixes
        self._scheme = scheme
        self._mask = mask
        self._queue = BatchSpanProcessor(to)

    def opened(self, exchange: Exchange) -> None:
        """A span is told when it is over."""

    def attempted(self, exchange: Exchange, attempt: Attempt) -> None:
        if exchange.trace is not None and attempt.span:
            self._tell_attempt(exchange, exchange.trace, attempt)

    def repeated(self, hits: Sequence[Repeat]) -> None:
        """Where requests are traced, each of them goes the long way."""

    def passed(self, passes: Sequence[Pass]) -> None:
        """As above."""

    def closed(self, exchange: Exchange) -> None:
        trace = exchange.trace
        if trace is None:
            return
        for attempt in exchange.attempts:
            if attempt.span and not attempt.outcome:  # its caller left before it had one
                self._tell_attempt(exchange, trace, attempt)
        error = exchange.code or (exchange.error.code if exchange.error is not None else None)
        failed = exchange.status >= _FIRST_SERVER_FAILURE or exchange.cut
        place = self._prefixes.get(exchange.route)
        told: dict[str, Value | None] = {
            "http.request.method": _word(exchange.method),
            "url.path": self._mask(exchange.target.partition("?")[0])[:_MOST_PATH],
            "url.scheme": self._scheme,
            "http.route": place,
            "http.response.status_code": exchange.status or None,
            "error.type": (error or _CANCELLED) if failed else None,
            "leeward.request_id": self._mask(exchange.id)[:128],
            "leeward.upstream": exchange.route or None,
            "leeward.cache": exchange.verdict.value,
            "leeward.reason": None if exchange.reason is None else exchange.reason.value,
            "leeward.error": error,
            "leeward.attempts": len(exchange.attempts),
            "leeward.unkept": None if exchange.unkept is None else exchange.unkept.value,
        }
        for held in exchange.held:
            name = f"leeward.held.{held.reason.value}"
            told[name] = float(told.get(name) or 0.0) + held.seconds
        self._tell(
            name=_method(exchange.method) if place is None else f"{_method(exchange.method)} {place}",
            trace=trace,
            span=trace.span_id,
            parent=trace.parent,
            kind=SpanKind.SERVER,
            begun=_nanoseconds(exchange.at),
            seconds=exchange.seconds,
            failed=failed,
            told=told,
        )

    async def close(self, grace: float) -> None:
        """Delivers what is queued, for at most so many seconds."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def deliver() -> None:
            self._queue.shutdown()  # type: ignore[no-untyped-call]  # the library leaves it untyped
            with suppress(RuntimeError):  # the loop has not waited
                loop.call_soon_threadsafe(done.set)

        # A daemon: one that hangs must not keep the process.
        threading.Thread(target=deliver, name="last spans", daemon=True).start()
        try:
            async with asyncio.timeout(grace):
                await done.wait()
        except TimeoutError:
            _LOGGER.warning("The collector of traces did not take the last spans in time")

    def _tell_attempt(self, exchange: Exchange, trace: Trace, attempt: Attempt) -> None:
        cancelled = not attempt.outcome
        failed = cancelled or attempt.status is None or attempt.status >= _FIRST_FAILURE
        kind_of_error = str(attempt.status) if attempt.status is not None else attempt.outcome or _CANCELLED
        place = urlsplit(attempt.url)
        number = next((n for n, one in enumerate(exchange.attempts) if one is attempt), 0)
        told: dict[str, Value | None] = {
            "http.request.method": _word(exchange.method),
            "url.full": self._mask(attempt.url)[:_MOST_PATH] or None,
            "server.address": place.hostname,
            "server.port": place.port or _PORTS.get(place.scheme),
            "http.response.status_code": attempt.status,
            "http.request.resend_count": number or None,
            "error.type": kind_of_error if failed else None,
            "leeward.upstream": exchange.route,
            "leeward.outcome": attempt.outcome or _CANCELLED,
            "leeward.reason": None if attempt.reason is None else attempt.reason.value,
            "leeward.wait": attempt.wait,
        }
        self._tell(
            name=_method(exchange.method),
            trace=trace,
            span=attempt.span,
            parent=trace.span_id,
            kind=SpanKind.CLIENT,
            begun=_nanoseconds(exchange.at + attempt.started - exchange.started),
            seconds=attempt.seconds,
            failed=failed,
            told=told,
        )

    def _tell(
        self,
        *,
        name: str,
        trace: Trace,
        span: int,
        parent: int | None,
        kind: SpanKind,
        begun: int,
        seconds: float,
        failed: bool,
        told: Mapping[str, Value | None],
    ) -> None:
        self._queue.on_end(
            ReadableSpan(
                name=name,
                context=SpanContext(trace.trace_id, span, is_remote=False, trace_flags=_SAMPLED),
                parent=None
                if parent is None
                else SpanContext(
                    trace.trace_id, parent, is_remote=kind is SpanKind.SERVER, trace_flags=_SAMPLED
                ),
                resource=self._resource,
                attributes={name: value for name, value in told.items() if value is not None},
                kind=kind,
                status=_FAILED if failed else _UNSET,
                start_time=begun,
                end_time=begun + _nanoseconds(seconds),
                instrumentation_scope=self._scope,
            )
        )


def _method(method: str) -> str:
    """For a span's name."""
    return method if method in METHODS else "HTTP"


def _word(method: str) -> str:
    """As an attribute; what is not known is a caller's string."""
    return method if method in METHODS else "_OTHER"


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1_000_000_000)
