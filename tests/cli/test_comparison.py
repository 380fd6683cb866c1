"""Does the demo's picture fit a terminal and tell the figures that were measured?"""

from __future__ import annotations

import io
import json

from rich.console import Console

from proxy.cli import comparison
from proxy.cli.comparison import Side
from proxy.cli.flaky import Flaky
from proxy.cli.traffic import Call, Outcome, Run

GET = Call(at=0, path="/products/1")
MISSING = Call(at=0, path="/users/missing", doomed=True)
PAYMENT = Call(at=0, path="/payments", method="POST", doomed=True)
RAW = json.dumps({"error": {"message": "No such user", "code": "resource_missing"}})
TOLD = json.dumps(
    {
        "type": "urn:problem-type:leeward:not-found",
        "title": "The upstream has no such resource",
        "status": 404,
        "detail": "No such user",
        "code": "not_found",
        "retryable": False,
        "attempts": 1,
        "request_id": "01JD0000000000000000000000",
        "upstream": {"name": "shop", "status": 404, "code": "resource_missing"},
        "original": json.loads(RAW),
    }
)


def sides() -> tuple[Side, Side]:
    straight = Side(run=Run(), upstream=Flaky(asked=5))
    straight.run.outcomes += [
        Outcome(call=GET, status=200, seconds=0.2),
        *(Outcome(call=GET, status=503, seconds=0.1) for _ in range(3)),
        Outcome(call=MISSING, status=404, seconds=0.1, body=RAW),
    ]
    through = Side(run=Run(), upstream=Flaky(asked=4))
    through.upstream.answered[429] = 7
    through.run.outcomes += [
        Outcome(call=GET, status=200, seconds=0.5, verdict="fetched", attempts=3),
        Outcome(call=GET, status=200, seconds=0.4, verdict="collapsed", attempts=3),
        *(Outcome(call=GET, status=200, seconds=0.001, verdict="hit") for _ in range(2)),
        Outcome(call=MISSING, status=404, seconds=0.1, verdict="fetched", code="not_found", body=TOLD),
        Outcome(call=PAYMENT, status=500, seconds=0.1, verdict="fetched", code="server_error"),
    ]
    return straight, through


def shown(*, keep: bool = False, calls: int = 5) -> list[str]:
    straight, through = sides()
    console = Console(width=comparison.WIDTH, record=True, file=io.StringIO())
    console.print(comparison.opening(calls, straight.upstream.mood))
    console.print(comparison.picture(straight, through, calls))
    console.print(comparison.deeds(through))
    console.print(comparison.specimen(straight, through))
    console.print(comparison.ending("127.0.0.1:8080", "127.0.0.1:9464", keep=keep))
    return console.export_text().splitlines()


def row(lines: list[str], *, starts: str = "", holds: str = "") -> list[str]:
    (line,) = [line for line in lines if line.startswith(starts) and holds in line]
    return line.split()


def test_it_fits_a_terminal() -> None:
    lines = shown(keep=True)
    assert len(lines) <= 34  # and the prompt
    assert max(map(len, lines)) <= 100


def test_the_figures_are_those_of_the_run() -> None:
    lines = shown()
    assert row(lines, starts="calls that failed")[-3:] == ["3", "(60%)", "0"]
    assert row(lines, starts="calls that reached")[-2:] == ["5", "4"]
    assert row(lines, starts="a good answer took, half")[-4:] == ["200", "ms", "400", "ms"]
    first = {line.split()[1]: line.split()[0] for line in lines if line[:5].strip().isdigit()}
    assert first == {
        "hit": "2",
        "coalesced": "1",
        "retried": "2",  # followers did not retry: only the fetch counts
        "rate-limited": "7",
        "sent": "1",
        "translated": "2",
    }


def test_the_error_is_shown_as_it_was_and_as_it_is_told() -> None:
    whole = "\n".join(shown())
    assert '"code": "resource_missing"' in whole
    assert '"code": "not_found"' in whole


def test_an_error_that_nobody_met_is_not_shown() -> None:
    straight, through = sides()
    through.run.outcomes.clear()
    console = Console(width=comparison.WIDTH, record=True, file=io.StringIO())
    console.print(comparison.specimen(straight, through))
    console.print(comparison.deeds(through))
    assert "error" not in console.export_text().partition("What Leeward did")[0]


def test_while_it_runs_progress_is_shown() -> None:
    assert any("━" in line for line in shown(calls=50))


def test_where_the_dashboard_is() -> None:
    assert "http://127.0.0.1:9464/" in "\n".join(shown())
    assert "curl -i http://127.0.0.1:8080/products/1" in "\n".join(shown(keep=True))


def test_a_429_that_several_callers_shared_is_one_of_the_apis() -> None:
    _, through = sides()
    through.run.outcomes += [
        Outcome(call=GET, status=429, seconds=0.1, verdict=verdict, code="rate_limited")
        for verdict in ("fetched", "collapsed", "collapsed")
    ]
    console = Console(width=comparison.WIDTH, record=True, file=io.StringIO())
    console.print(comparison.deeds(through))
    assert "callers saw 1 of them" in console.export_text()


def test_the_settings_that_such_a_day_needs_are_told() -> None:
    assert "6 attempts, retries up to 60% or 10/s" in "\n".join(shown())
