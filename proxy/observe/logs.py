"""How is anything said to the operator, and how does one request become one line?

The law: everything that is said, by us or by a library, passes one sink: level, time, redaction, then JSON
or console text on stderr. Writing a line never raises, whatever the event holds or the stream does.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import partial
from typing import Any, Literal, TextIO

from proxy.core.exchange import Attempt, Exchange, Pass, Repeat
from proxy.core.message import Headers
from proxy.observe.redaction import KEPT_BODY, Excerpt, Redaction
from proxy.observe.repeats import Lines, stamp
from proxy.observe.sampling import Sampling

Layout = Literal["auto", "console", "json"]
MOST_BODY = KEPT_BODY  # bytes of a body that an exchange keeps for us, where log.bodies asks for it
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_TEXTUAL = ("text/", "application/json", "application/xml", "application/x-www-form-urlencoded")


def configure(
    *,
    level: str = "info",
    layout: Layout = "auto",
    mask: Callable[[str], str] = str,
    sensitive: AbstractSet[str] = frozenset(),
    stream: TextIO | None = None,
    now: Callable[[], float] = time.monotonic,
) -> None:
    """Makes us and the standard library's loggers write through one sink.

    `layout` is the setting `log.format`; `mask` replaces registered secrets in a text; `sensitive` are
    names of headers and members whose values are hidden; `stream` is stderr unless given. May be called
    again, as after a reload.
    """
    target = sys.stderr if stream is None else stream
    colours = layout != "json" and _is_terminal(target)
    console = layout == "console" or (layout == "auto" and colours)
    sink = Sink(target, mask, console=console, colours=colours, sensitive=sensitive)
    number = _LEVELS[level]
    root = logging.getLogger()
    for earlier in [h for h in root.handlers if isinstance(h, Bridge)]:
        root.removeHandler(earlier)
    root.addHandler(Bridge(sink, Sampling(now)))
    root.setLevel(number)
    logging.captureWarnings(capture=True)


class Sink:
    """Where every event ends: made safe, rendered, written."""

    def __init__(
        self,
        stream: TextIO,
        mask: Callable[[str], str],
        *,
        console: bool,
        colours: bool = False,
        sensitive: AbstractSet[str] = frozenset(),
    ) -> None:
        self._stream = stream
        self._redaction = Redaction(mask, sensitive)
        self._console = console
        self._repeats = Lines(
            fields=lambda exchange: {"event": "request", **line(exchange)},
            render=self._stamped,
            safe=partial(self._redaction.text, most=sys.maxsize),
            now=time.monotonic,
        )
        # After redaction there is nothing but plain values, so one encoder serves all.
        encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
        self._render: Callable[[Any], str] = _for_people(colours=colours) if console else encode

    def rendered(self, level: str, event: MutableMapping[str, Any]) -> str:
        """The line, without its end."""
        try:
            told = event.pop("exc_info", None)
            if told:
                event["exception"] = trace(told)
            first = {"timestamp": "", "level": level, "event": ""}
            event = {**first, **self._redaction(None, level, event), "timestamp": stamp(time.time())}
            return self._render(_spoken(event) if self._console else event)
        except Exception as problem:  # noqa: BLE001 - whatever is wrong with an event, a request goes on
            return f'{{"level":"error","event":"a log line was lost","error":"{type(problem).__name__}"}}'

    def repeated(self, hits: Sequence[Repeat]) -> str:
        """The lines of requests that were answered like one before."""
        if not self._console:
            return self._repeats.of(hits)
        lines = []
        for exchange, request_id, _, seconds in hits:
            again = replace(exchange, id=request_id.decode(), seconds=seconds, first_byte=seconds)
            lines.append(self.rendered("info", {"event": "request", **line(again)}))
        return "\n".join(lines)

    def passed(self, passes: Sequence[Pass]) -> str:
        """The lines of requests that were passed on like one before."""
        if not self._console:
            return self._repeats.of_passes(passes)
        lines = []
        for pattern, request_id, _, seconds, first, size in passes:
            attempts = [replace(pattern.attempts[0], seconds=first)]
            one = replace(pattern, id=request_id.decode(), seconds=seconds, attempts=attempts)
            again = replace(one, first_byte=first, bytes_out=size)
            lines.append(self.rendered("info", {"event": "request", **line(again)}))
        return "\n".join(lines)

    def _stamped(self, event: Mapping[str, Any], at: str) -> str:
        safe = self._redaction(None, "info", {"timestamp": "", "level": "info", **event})
        return self._render({**safe, "timestamp": at})

    def write(self, line: str) -> None:
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            # The reader went away or the stream is closed; there is nobody left to tell.
            return


class Bridge(logging.Handler):
    """Leads the records of libraries (aiohttp, asyncio, warnings) into the sink; floods are sampled."""

    def __init__(self, sink: Sink, sampling: Sampling) -> None:
        super().__init__()
        self.sink = sink
        self._sampling = sampling

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event: dict[str, Any] = {"event": record.getMessage(), "logger": record.name}
        except Exception:  # noqa: BLE001 - a library's format string and arguments may not agree
            event = {"event": str(record.msg), "logger": record.name}
        if record.levelno >= logging.WARNING:
            left_out = self._sampling.admit((record.name, record.msg if isinstance(record.msg, str) else ""))
            if left_out is None:
                return
            if left_out:
                event["left_out"] = left_out
        if record.exc_info:
            event["exc_info"] = record.exc_info
        self.sink.write(self.sink.rendered(record.levelname.lower(), event))


class Said:
    """What we say ourselves besides the access log: equal warnings are sampled."""

    def __init__(
        self, now: Callable[[], float] = time.monotonic, *, most: int = 10, per: float = 60.0
    ) -> None:
        self._sampling = Sampling(now, most=most, per=per)

    def warning(self, event: str, **fields: Any) -> None:
        """Warnings are equal when their sentence is; what differs belongs into the fields."""
        left_out = self._sampling.admit(event)
        if left_out is None:
            return
        if left_out:
            fields["left_out"] = left_out
        say("warning", event, **fields)


class AccessLog:
    """A core.ports.Observer: one line a request when it is closed; silent until `configure` was called.

    At level debug also the headers; bodies where the exchange kept them, which `log.bodies` decides.
    """

    def opened(self, exchange: Exchange) -> None:
        """Nothing is known yet that is worth a line."""

    def attempted(self, exchange: Exchange, attempt: Attempt) -> None:
        """Attempts are told with their request."""

    def closed(self, exchange: Exchange) -> None:
        root = logging.getLogger()
        if root.level > logging.INFO:
            return
        event = {"event": "request", **line(exchange, headers=root.level <= logging.DEBUG)}
        for sink in _sinks():
            sink.write(sink.rendered("info", event))

    def repeated(self, hits: Sequence[Repeat]) -> None:
        root = logging.getLogger()
        if root.level > logging.INFO:
            return
        for sink in _sinks():
            sink.write(sink.repeated(hits))

    def passed(self, passes: Sequence[Pass]) -> None:
        root = logging.getLogger()
        if root.level > logging.INFO:
            return
        for sink in _sinks():
            sink.write(sink.passed(passes))


def say(level: str, event: str, **fields: Any) -> None:
    """One line of our own, straight to the sink. `exc_info` is as logging takes it."""
    if logging.getLogger().level <= _LEVELS[level]:
        for sink in _sinks():
            sink.write(sink.rendered(level, {"event": event, **fields}))


def _sinks() -> Iterator[Sink]:
    return (handler.sink for handler in logging.getLogger().handlers if isinstance(handler, Bridge))


def _for_people(*, colours: bool) -> Callable[[Any], str]:
    """An event as a line for a terminal."""
    from proxy.observe.plain import structlog  # noqa: PLC0415 - a start without a terminal needs none of it

    render = structlog.dev.ConsoleRenderer(
        colors=colours, pad_event_to=0, sort_keys=False, exception_formatter=structlog.dev.plain_traceback
    )
    return lambda event: str(render(None, "", event))


def line(exchange: Exchange, *, headers: bool = False) -> dict[str, Any]:
    """What a request's line says; times in milliseconds, sizes in bytes."""
    told: dict[str, Any] = {
        "id": exchange.id,
        "method": exchange.method,
        # Without its query already; cut again, because a secret in a log cannot be taken back.
        "path": exchange.target.partition("?")[0],
        "route": exchange.route,
        "status": exchange.status,
        "cache": exchange.verdict.value,
        "reason": None if exchange.reason is None else exchange.reason.value,
        "attempts": len(exchange.attempts),
        "ms": _milliseconds(exchange.seconds),
        "first_byte_ms": _milliseconds(exchange.first_byte),
        "bytes_in": exchange.bytes_in,
        "bytes_out": exchange.bytes_out,
    }
    if exchange.held:
        told["held"] = [
            {"reason": held.reason.value, "ms": _milliseconds(held.seconds)} for held in exchange.held
        ]
    if exchange.attempts:
        told["tries"] = [_try(attempt) for attempt in exchange.attempts]
    if exchange.unkept is not None:
        told["unkept"] = exchange.unkept.value
    code = exchange.code or (exchange.error.code if exchange.error is not None else None)
    if code is not None:
        told["error"] = code
    if exchange.error is not None:
        told["detail"] = exchange.error.detail
    if exchange.cut:
        told["cut"] = True
    if headers:
        told |= {"request_headers": exchange.headers_in, "response_headers": exchange.headers_out}
    if exchange.body_in:
        told["request_body"] = _text(exchange.body_in, exchange.headers_in)
    if exchange.body_out:
        told["response_body"] = _text(exchange.body_out, exchange.headers_out)
    return told


def trace(told: Any) -> str:
    """A traceback as text, from what logging calls exc_info."""
    if told is True:
        told = sys.exc_info()
    if isinstance(told, BaseException):
        told = (type(told), told, told.__traceback__)
    if not isinstance(told, tuple) or told[1] is None:
        return ""
    # Never with local variables: they are where secrets stand.
    return "".join(traceback.format_exception(*told)).rstrip("\n")


def _try(attempt: Attempt) -> dict[str, Any]:
    told: dict[str, Any] = {"outcome": attempt.outcome, "ms": _milliseconds(attempt.seconds)}
    if attempt.status is not None:
        told["status"] = attempt.status
    if attempt.reason is not None:
        told["reason"] = attempt.reason.value
    if attempt.wait is not None:
        told["wait_ms"] = _milliseconds(attempt.wait)
    return told


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _text(body: bytes, headers: Headers | None) -> Excerpt | str:
    """What is kept of a text body; of any other only that it is there."""
    kind = ((headers.get("content-type") if headers else None) or "").lower()
    encoded = bool(headers and (headers.get("content-encoding") or "identity").strip().lower() != "identity")
    plain = kind.startswith(_TEXTUAL) or kind.partition(";")[0].strip().endswith(("+json", "+xml"))
    if encoded or not (plain or (not kind and b"\0" not in body)):
        return "(not text)"
    return Excerpt(body)


def _spoken(event: Mapping[str, Any]) -> MutableMapping[str, Any]:
    """On a console a request reads as one sentence, and absent things are not mentioned."""
    told = {name: value for name, value in event.items() if value is not None}
    if told.get("event") == "request" and "method" in told and "path" in told:
        parts = [str(told.pop(name, "")) for name in ("method", "path", "status", "cache")]
        told["event"] = " ".join(part for part in parts if part)
    return told


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False
