"""A repeated hit's line is the line that the long way writes."""

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from proxy.core.exchange import Exchange, Repeat, Verdict
from proxy.core.reason import Reason
from proxy.observe.logs import AccessLog, Bridge, Layout, configure
from proxy.observe.repeats import stamp, times_of_each
from tests.observe.exchanges import exchange

SECRET = "hunter2-hunter2"


@pytest.fixture
def cleaned() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def written(layout: Layout, tell: Any) -> list[str]:
    stream = io.StringIO()
    configure(layout=layout, stream=stream, mask=lambda text: text.replace(SECRET, "***"))
    tell(AccessLog())
    assert any(isinstance(handler, Bridge) for handler in logging.getLogger().handlers)
    return stream.getvalue().splitlines()


def pattern(target: str = "/github/users") -> Exchange:
    made = exchange(target=target, verdict=Verdict.HIT, reason=Reason.FRESH)
    return replace(made, bytes_in=0)


def both(hits: list[Repeat], layout: Layout = "json") -> tuple[list[str], list[str]]:
    """The lines of repeats, and those of the long way."""

    def one_by_one(log: AccessLog) -> None:
        for made, request_id, at, seconds in hits:
            log.closed(replace(made, id=request_id.decode(), at=at, seconds=seconds, first_byte=seconds))

    return written(layout, lambda log: log.repeated(hits)), written(layout, one_by_one)


def untimed(line: str) -> tuple[list[str], dict[str, Any]]:
    told = json.loads(line)
    del told["timestamp"]
    return list(told), told


@pytest.mark.usefixtures("cleaned")
@pytest.mark.parametrize("target", ["/a", '/"@ms@"/"@id@"', f"/{SECRET}/x", "/\x1b[31m\u202e", "/ä"])
@pytest.mark.parametrize(
    "ids", [["01JD", "01JE"], [SECRET, "fine"], ['"quoted"', "back\\slash"], ["token=abcdef", "x"]]
)
def test_the_lines_are_the_long_ways(target: str, ids: list[str]) -> None:
    hits = [(pattern(target), one.encode(), 1_700_000_000.25 + n, 0.001234 * n) for n, one in enumerate(ids)]
    repeated, long = both(hits)
    assert [untimed(line) for line in repeated] == [untimed(line) for line in long]
    assert not any(SECRET in line for line in repeated)


@pytest.mark.usefixtures("cleaned")
def test_a_console_has_them_too() -> None:
    repeated, long = both([(pattern(), b"01JD", 1_700_000_000.0, 0.001)], "console")
    assert [line.split(" ", 1)[1] for line in repeated] == [line.split(" ", 1)[1] for line in long]


@pytest.mark.usefixtures("cleaned")
def test_the_time_is_the_requests_own() -> None:
    # A whole second, the first and the last millionth of one, and what is rounded up into the next.
    seconds = [0.5, 0.75, 0.750001, 1.0, 1.749999, 1.7499999, 0.25, 2.0]
    hits = [(pattern(), b"01JD", 1_700_000_000.25, one) for one in seconds]
    told = [json.loads(line)["timestamp"] for line in both(hits)[0]]
    assert told == [stamp(1_700_000_000.25 + one) for one in seconds]
    assert [datetime.fromisoformat(one) for one in told] == [
        datetime.fromtimestamp(1_700_000_000.25 + one, UTC) for one in seconds
    ]
    assert stamp(0.0) == "1970-01-01T00:00:00Z"


@pytest.mark.usefixtures("cleaned")
def test_many_kinds_in_turn() -> None:
    kinds = [pattern(f"/{n}") for n in range(5)]
    hits = [(kinds[n % 5], b"id%d" % n, 1_700_000_000.0 + n, 0.001) for n in range(50)]
    repeated, long = both(hits)
    assert [untimed(line) for line in repeated] == [untimed(line) for line in long]
    assert [json.loads(line)["path"] for line in repeated] == [f"/{n % 5}" for n in range(50)]


@pytest.mark.usefixtures("cleaned")
def test_silence_below_info() -> None:
    stream = io.StringIO()
    configure(layout="json", level="warning", stream=stream)
    AccessLog().repeated([(pattern(), b"01JD", 0.0, 0.0)])
    assert stream.getvalue() == ""


@pytest.mark.usefixtures("cleaned")
@pytest.mark.parametrize("odd", [SECRET, "token=abcdef", '"'])
def test_one_odd_id_among_very_many(odd: str) -> None:
    ids = [f"{n:026}" for n in range(700)]
    ids[500] = odd
    repeated, long = both([(pattern(), one.encode(), 1_700_000_000.0, 0.001) for one in ids])
    assert [untimed(line) for line in repeated] == [untimed(line) for line in long]


def test_times_are_kept_apart_by_kind() -> None:
    one, alike, other = pattern(), pattern("/elsewhere"), replace(pattern(), status=404)
    hits = [(made, b"id", 0.0, seconds) for seconds, made in enumerate([one, alike, other, one, one])]
    assert list(times_of_each(hits)) == [
        (("github", "GET", 200, Verdict.HIT), [0, 1, 3, 4]),
        (("github", "GET", 404, Verdict.HIT), [2]),
    ]
