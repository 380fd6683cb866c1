"""What is the running proxy doing right now? `leeward top`, in a terminal.

On a terminal the picture is drawn anew until Ctrl-C; anywhere else it is written once, for scripts.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from proxy.cli.reaching import admin_address, connection
from proxy.config.addresses import Address
from proxy.config.units import seconds

_PATIENCE = 2.0  # seconds for one look
_LEAST = 0.1  # seconds between two looks
_NONE = "-"
_COLUMNS = ("upstream", "req/s", "requests", "hit ratio", "retries", "errors", "in flight", "p50", "p95")
_WIDE = 120  # columns where no terminal says how many there are

Status = Mapping[str, Any]


def top(
    *,
    admin: Annotated[
        str | None, typer.Option(help="The admin address; without it the configuration's.", metavar="ADDR")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="YAML file that names the admin address. Default: as leeward run.", metavar="FILE"),
    ] = None,
    interval: Annotated[str, typer.Option(help="Time between two looks.", metavar="DURATION")] = "1s",
    once: Annotated[bool, typer.Option("--once", help="Write one picture and leave.")] = False,
) -> int:
    """Watch a running proxy: upstreams, hit ratio, retries and latency, until Ctrl-C.

    Example: leeward top --admin 127.0.0.1:9464
    """
    try:
        where = admin_address(admin, config, os.environ)
        pause = max(_LEAST, seconds(interval))
    except ValueError as error:
        print(f"leeward top: {error}", file=sys.stderr)
        return 2
    first = _look(where)
    if isinstance(first, str):
        print(f"leeward top: no answer from {where}: {first}", file=sys.stderr)
        return 1
    console = Console()
    if once or not console.is_terminal:
        wide = console if console.is_terminal else Console(width=_WIDE)
        wide.print(picture(first, first, 0.0))
        return 0
    try:
        _watch(console, where, first, pause)
    except KeyboardInterrupt:
        return 0


def _watch(console: Console, where: Address, seen: Status, pause: float) -> NoReturn:
    """Draws until it is interrupted; a proxy that does not answer is waited for."""
    at = time.monotonic()
    with Live(picture(seen, seen, 0.0), console=console, auto_refresh=False, screen=True) as live:
        while True:
            time.sleep(pause)
            found, now = _look(where), time.monotonic()
            if isinstance(found, str):
                lost = Text(f"no answer from {where} for {now - at:.0f} s: {found}", style="bold red")
                live.update(Group(lost, picture(seen, seen, 0.0)), refresh=True)
                continue
            live.update(picture(found, seen, now - at), refresh=True)
            seen, at = found, now


def _look(where: Address) -> Status | str:
    """The status, or why there is none."""
    asking = connection(where, _PATIENCE)
    try:
        asking.request("GET", "/api/v1/status")
        answer = asking.getresponse()
        told = json.loads(answer.read())
        if answer.status != HTTPStatus.OK or not isinstance(told, dict):
            return f"status {answer.status}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    else:
        return told
    finally:
        asking.close()


def picture(now: Status, before: Status, span: float) -> RenderableType:
    """One look, with rates since the look `before`, which was `span` seconds ago; 0: no rates yet."""
    state = ("ready", "green") if now.get("ready") else ("draining", "yellow")
    up = _span(now.get("uptime") or 0.0)
    title = Text.assemble(("leeward ", "bold"), str(now.get("version", "")), "  ", state, f"  up {up}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name == "upstream" else "right", no_wrap=True)
    earlier = {row.get("name"): row for row in before.get("upstreams", ())}
    for row in now.get("upstreams", ()):
        name = str(row.get("name"))
        table.add_row(Text(name), *_figures(row, earlier.get(name), span))
    totals = now.get("totals")
    if totals:
        table.add_row(
            Text("all", style="bold"),
            *_figures(totals, before.get("totals"), span),
            style="bold",
            end_section=True,
        )
    return Group(title, Text(), table, Text(), *map(_cache, now.get("caches", ())))


def _figures(row: Status, before: Status | None, span: float) -> list[Text]:
    ratio, errors = row.get("hit_ratio"), row.get("errors", 0)
    return [
        Text(rate(row, before, span)),
        Text(f"{row.get('requests', 0):,}"),
        Text(_NONE if ratio is None else f"{ratio:.1%}", style="green" if ratio else ""),
        Text(f"{row.get('retries', 0):,}", style="yellow" if row.get("retries") else ""),
        Text(f"{errors:,}", style="red" if errors else ""),
        Text(f"{row.get('inflight', 0):,}"),
        Text(_milliseconds(row.get("p50_ms"))),
        Text(_milliseconds(row.get("p95_ms"))),
    ]


def rate(row: Status, before: Status | None, span: float) -> str:
    """Requests a second in between; a proxy that was started again in between has none."""
    if not span or before is None:
        return _NONE
    more = row.get("requests", 0) - before.get("requests", 0)
    return _NONE if more < 0 else f"{more / span:,.1f}"


def _cache(cache: Status) -> Text:
    most = cache.get("max_bytes")
    room = f" of {_size(most)}" if most else ""
    return Text(
        f"{cache.get('store')}: {cache.get('entries', 0):,} entries, {_size(cache.get('bytes', 0))}{room}"
    )


def _milliseconds(value: float | None) -> str:
    return _NONE if value is None else f"{value:.1f} ms" if value < 1000 else f"{value / 1000:.1f} s"  # noqa: PLR2004


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:  # noqa: PLR2004 - as many of each make one of the next
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def _span(uptime: float) -> str:
    hours, rest = divmod(int(uptime), 3600)
    minutes, left = divmod(rest, 60)
    days, hours = divmod(hours, 24)
    return f"{days} d {hours:02}:{minutes:02}:{left:02}" if days else f"{hours:02}:{minutes:02}:{left:02}"
