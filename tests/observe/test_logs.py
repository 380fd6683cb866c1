from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from proxy.core.exchange import Held, Verdict
from proxy.core.failure import RateLimitError
from proxy.core.message import Headers
from proxy.core.reason import Reason
from proxy.observe import logs
from tests.observe.exchanges import exchange, observed

CANARY = "c4naryValue"
Told = Callable[[], list[dict[str, Any]]]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """A stream to configure; afterwards the logging of the tests is as it was."""
    root = logging.getLogger()
    level = root.level
    yield io.StringIO()
    for bridge in [handler for handler in root.handlers if isinstance(handler, logs.Bridge)]:
        root.removeHandler(bridge)
    root.setLevel(level)
    logging.captureWarnings(capture=False)


@pytest.fixture
def told(stream: io.StringIO) -> Told:
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def mask(text: str) -> str:
    return text.replace(CANARY, "***")


def test_a_request_is_one_line(stream: io.StringIO, told: Told) -> None:
    logs.configure(stream=stream, layout="json")
    observed(logs.AccessLog(), exchange(outcomes=("5xx", "2xx"), seconds=0.5))
    (said,) = told()
    assert said.pop("timestamp").endswith("Z")
    assert said == {
        "level": "info",
        "event": "request",
        "id": "01JD",
        "method": "GET",
        "path": "/github/users",
        "route": "github",
        "status": 200,
        "cache": "miss",
        "reason": "uri-miss",
        "attempts": 2,
        "tries": [
            {"outcome": "5xx", "ms": 200.0, "status": 500, "reason": "status", "wait_ms": 250.0},
            {"outcome": "2xx", "ms": 200.0, "status": 200},
        ],
        "ms": 500.0,
        "first_byte_ms": 250.0,
        "bytes_in": 3,
        "bytes_out": 5,
    }


def test_a_failure_says_its_code_and_why(stream: io.StringIO, told: Told) -> None:
    logs.configure(stream=stream, layout="json")
    made = exchange(status=429, error=RateLimitError("Too many."), outcomes=("4xx",))
    made.cut = True
    observed(logs.AccessLog(), made)
    (said,) = told()
    assert (said["error"], said["detail"], said["cut"]) == ("rate_limited", "Too many.", True)


def test_a_request_without_answer_or_attempt(stream: io.StringIO, told: Told) -> None:
    logs.configure(stream=stream, layout="json")
    made = exchange(verdict=Verdict.HIT, reason=None)
    made.first_byte = None
    observed(logs.AccessLog(), made)
    (said,) = told()
    assert said["first_byte_ms"] is None
    assert said["reason"] is None
    assert "tries" not in said


def test_what_held_a_request_back_is_told(stream: io.StringIO, told: Told) -> None:
    logs.configure(stream=stream, layout="json")
    made = exchange()
    made.held = [Held(reason=Reason.QUEUED, seconds=0.25)]
    observed(logs.AccessLog(), made)
    (said,) = told()
    assert said["held"] == [{"reason": "queued", "ms": 250.0}]


def test_the_query_never_stands_in_a_line(stream: io.StringIO) -> None:
    logs.configure(stream=stream, layout="json", level="debug")
    observed(logs.AccessLog(), exchange(target=f"/a?q={CANARY}"))
    assert CANARY not in stream.getvalue()


_HEADERS = Headers.of(
    ("Authorization", f"Bearer {CANARY}"), ("X-Seen", "yes"), ("X-Seen", "twice"), ("X-Odd", f"a {CANARY}")
)


def test_headers_stand_in_it_at_debug_only_and_redacted(stream: io.StringIO, told: Told) -> None:
    for level in ("info", "debug"):
        logs.configure(stream=stream, layout="json", level=level, mask=mask)
        observed(logs.AccessLog(), exchange(headers=_HEADERS))
    info, debug = told()
    assert "request_headers" not in info
    expected = {"authorization": "***", "x-seen": ["yes", "twice"], "x-odd": "a ***"}
    assert debug["request_headers"] == debug["response_headers"] == expected
    assert CANARY not in stream.getvalue()


def test_bodies_that_were_kept_are_shown_as_text(stream: io.StringIO, told: Told) -> None:
    logs.configure(stream=stream, layout="json", mask=mask)
    made = exchange(headers=Headers.of(("Content-Type", "application/json")))
    made.body_in = f'{{"password": "p4ss", "note": "{CANARY}"}}'.encode()
    made.body_out = b'{"a": "' + b"x" * 2000
    observed(logs.AccessLog(), made)
    (said,) = told()
    assert said["request_body"] == '{"password": "***", "note": "***"}'
    assert len(said["response_body"]) == 500


@pytest.mark.parametrize(
    "headers",
    [
        Headers.of(("Content-Type", "image/png")),
        Headers.of(("Content-Type", "text/plain"), ("Content-Encoding", "gzip")),
        Headers.of(("Accept", "a")),
        None,
    ],
)
def test_bodies_that_are_no_text_are_not_shown(
    stream: io.StringIO, told: Told, headers: Headers | None
) -> None:
    logs.configure(stream=stream, layout="json")
    made = exchange(headers=headers)
    made.body_in = b"\x89PNG\0\0"
    observed(logs.AccessLog(), made)
    assert told()[0]["request_body"] == "(not text)"


@pytest.mark.parametrize(
    "kind", ["application/problem+json", "application/soap+xml; charset=utf-8", "TEXT/HTML"]
)
def test_what_is_text_by_its_type(stream: io.StringIO, told: Told, kind: str) -> None:
    logs.configure(stream=stream, layout="json")
    made = exchange(headers=Headers.of(("Content-Type", kind)))
    made.body_in = b"said\n"
    observed(logs.AccessLog(), made)
    assert told()[0]["request_body"] == "said\\n"


def test_above_info_there_is_no_line(stream: io.StringIO) -> None:
    logs.configure(stream=stream, layout="json", level="warning")
    observed(logs.AccessLog(), exchange())
    assert stream.getvalue() == ""


@pytest.mark.parametrize("layout", ["json", "console"])
def test_a_stranger_writes_no_line_of_his_own(stream: io.StringIO, layout: logs.Layout) -> None:
    logs.configure(stream=stream, layout=layout, level="debug")
    nasty = '/a\r\n{"level":"info","event":"forged"}\x1b[2J\u2028x'
    made = exchange(target=nasty, method="G\nET", id="i\nd", headers=Headers.of(("X", "a\n\x1b[31mb")))
    observed(logs.AccessLog(), made)
    (line,) = stream.getvalue().splitlines()
    assert line.isprintable()


def test_on_a_console_a_request_reads_as_a_sentence(stream: io.StringIO) -> None:
    logs.configure(stream=stream, layout="console")
    observed(logs.AccessLog(), exchange(reason=None))
    assert "GET /github/users 200 miss" in stream.getvalue()
    assert "reason" not in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_auto_is_console_with_colours_on_a_terminal_and_json_otherwise(stream: io.StringIO) -> None:
    terminal = Terminal()
    logs.configure(stream=terminal, layout="auto")
    observed(logs.AccessLog(), exchange())
    assert "\x1b[" in terminal.getvalue()
    logs.configure(stream=stream, layout="auto")
    observed(logs.AccessLog(), exchange())
    json.loads(stream.getvalue())


def test_a_closed_stream_is_no_terminal_and_no_trouble(stream: io.StringIO) -> None:
    stream.close()
    logs.configure(stream=stream, layout="auto")
    observed(logs.AccessLog(), exchange())


class Unreadable(io.StringIO):
    def write(self, _text: str) -> int:
        raise BrokenPipeError


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError(CANARY)


def test_logging_never_raises(stream: io.StringIO, told: Told) -> None:
    logs.configure(stream=Unreadable(), layout="json")
    observed(logs.AccessLog(), exchange())
    logs.configure(stream=stream, layout="json")
    logs.say("info", "odd", thing=Hostile())
    record = logging.LogRecord("lib", logging.WARNING, "lib.py", 1, "%d", ("no number",), None)
    next(h for h in logging.getLogger().handlers if isinstance(h, logs.Bridge)).handle(record)
    assert [line["event"] for line in told()] == ["a log line was lost", "%d"]
    assert CANARY not in stream.getvalue()

    def failing(text: str) -> str:
        raise ValueError(text)

    logs.configure(stream=stream, layout="json", mask=failing)
    logs.say("info", CANARY)
    # Rather no line than an unmasked one.
    assert CANARY not in stream.getvalue()


def test_libraries_speak_through_the_same_sink(stream: io.StringIO, told: Told) -> None:
    logs.configure(stream=stream, layout="json", mask=mask)
    logging.getLogger("aiohttp.server").error("Failed with %s for %s", CANARY, "/x?access_token=abc")
    logging.getLogger("asyncio").info("fine")
    logging.getLogger("asyncio").debug("too fine")
    first, second = told()
    assert first["event"] == "Failed with *** for /x?access_token=***"
    assert (first["logger"], first["level"]) == ("aiohttp.server", "error")
    assert second["event"] == "fine"


def test_a_task_that_dies_unseen_is_told_without_its_secrets(stream: io.StringIO) -> None:
    logs.configure(stream=stream, layout="json", mask=mask)

    async def loop_tells() -> None:
        asyncio.get_running_loop().call_exception_handler(
            {"message": "Task exception was never retrieved", "exception": ValueError(f"x {CANARY}")}
        )

    asyncio.run(loop_tells())
    assert "Task exception was never retrieved" in stream.getvalue()
    assert "ValueError" in stream.getvalue()
    assert CANARY not in stream.getvalue()


@pytest.mark.parametrize("layout", ["json", "console"])
def test_tracebacks_are_redacted_and_tell_no_locals(stream: io.StringIO, layout: logs.Layout) -> None:
    logs.configure(stream=stream, layout=layout, mask=mask)

    unseen = "unregistered"

    def fails(token: str) -> None:
        held = token + "-held-in-a-local"
        raise ValueError(f"{CANARY}\nsecond line, Authorization: Basic {held}")

    try:
        fails(unseen)
    except ValueError as error:
        logs.say("error", "ours", exc_info=True)
        logs.say("error", "given", exc_info=error)
        logs.say("error", "short", exc_info=sys.exc_info())
        logging.getLogger("lib").exception("theirs")
    text = stream.getvalue()
    assert text.count("ValueError: ***") == 4
    assert CANARY not in text
    assert "unregistered" not in text
    if layout == "console":
        margin = [line for line in text.splitlines() if line.startswith(("second", "ValueError"))]
        assert margin == []


def test_no_exception_is_no_traceback(stream: io.StringIO, told: Told) -> None:
    logs.configure(stream=stream, layout="json")
    logs.say("error", "without", exc_info=True)
    assert told()[0]["event"] == "without"


def test_a_flood_of_a_librarys_warnings_is_sampled(stream: io.StringIO, told: Told) -> None:
    at = [0.0]
    logs.configure(stream=stream, layout="json", now=lambda: at[0])
    for number in range(100):
        logging.getLogger("lib").warning("odd thing %d", number)
    logging.getLogger("lib").info("not a warning")
    assert len(told()) == 11
    at[0] = 61.0
    logging.getLogger("lib").warning("odd thing %d", 100)
    assert told()[-1]["left_out"] == 90


def test_our_own_warnings_are_sampled_by_their_sentence(stream: io.StringIO, told: Told) -> None:
    at = [0.0]
    logs.configure(stream=stream, layout="json")
    said = logs.Said(lambda: at[0], most=2, per=10)
    for number in range(5):
        said.warning("the store is slow", ms=number)
    said.warning("something else")
    assert [line["event"] for line in told()] == ["the store is slow"] * 2 + ["something else"]
    at[0] = 10.0
    said.warning("the store is slow", ms=9)
    assert told()[-1]["left_out"] == 3


def test_python_warnings_go_the_same_way(stream: io.StringIO) -> None:
    logs.configure(stream=stream, layout="json", mask=mask)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        # What catch_warnings puts in place is not what captureWarnings put there.
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn(f"about {CANARY}", UserWarning, stacklevel=1)
    assert "UserWarning" in stream.getvalue()
    assert f"about {CANARY}" not in json.loads(stream.getvalue())["event"]


def test_configuring_again_replaces_the_sink(stream: io.StringIO, told: Told) -> None:
    other = io.StringIO()
    access = logs.AccessLog()
    logs.configure(stream=other, layout="json")
    observed(access, exchange())
    logs.configure(stream=stream, layout="json")
    observed(access, exchange())
    logging.getLogger("lib").warning("once")
    assert len(told()) == 2
    assert len(other.getvalue().splitlines()) == 1


def test_a_body_that_was_not_kept_says_why(stream: io.StringIO) -> None:
    logs.configure(stream=stream, layout="json")
    made = exchange()
    observed(logs.AccessLog(), made)
    made.unkept = Reason.BODY_TOO_LARGE
    observed(logs.AccessLog(), made)
    silent, told = map(json.loads, stream.getvalue().splitlines())
    assert "unkept" not in silent
    assert told["unkept"] == "body-too-large"


def test_a_planted_secret_appears_in_no_line(stream: io.StringIO) -> None:
    """The same canary in every place from which a line is made, at the most talkative setting."""
    pair = base64.b64encode(f"user:{CANARY}".encode()).decode()
    for layout in ("json", "console"):
        logs.configure(stream=stream, layout=layout, level="debug", mask=mask)
        made = exchange(
            id=CANARY,
            method=CANARY,
            target=f"/{CANARY}",
            error=RateLimitError(f"for {CANARY}"),
            headers=Headers.of(
                ("Authorization", f"Basic {pair}"),
                ("X-Echo", CANARY),
                (CANARY, "name"),
                ("Cookie", "s=unknown1"),
            ),
        )
        made.body_in = made.body_out = f"text with {CANARY}".encode()
        observed(logs.AccessLog(), made)
        logs.say("warning", CANARY, **{CANARY: {CANARY: [CANARY]}}, error=ValueError(CANARY))
        logging.getLogger(CANARY).warning(CANARY)
    assert stream.getvalue().count("\n") == 6
    for planted in (CANARY, pair, "unknown1"):
        assert planted not in stream.getvalue()
