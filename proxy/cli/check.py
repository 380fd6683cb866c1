"""Is this configuration valid? `leeward check`: every problem on its own line."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from proxy.config.loading import find, load
from proxy.config.problems import ConfigError
from proxy.config.settings import Settings


def check(
    file: Annotated[
        Path | None,
        typer.Argument(help="Without it: ./leeward.yaml, LEEWARD_CONFIG or the environment alone."),
    ] = None,
    *,
    live: Annotated[
        bool, typer.Option("--live", help="Also try each upstream: DNS, TLS, a call with its credential.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs; with --live.")] = False,
) -> int:
    """Say everything that is wrong with a configuration, as FILE:LINE: key: what, and what would be right.

    Exits 0 where it is valid and 2 where it is not. Without --live nothing is sent, and secrets in the
    environment or in files are not read; with it, exits 1 where an upstream does not answer as it should.

    Example: leeward check leeward.yaml
    """
    try:
        loaded = load(file or find(os.environ), {}, os.environ)
    except ConfigError as error:
        print(error)
        return 2
    for warning in loaded.warnings:
        print(warning, file=sys.stderr)
    if live:
        return _live(loaded.settings, as_json=as_json)
    names = ", ".join(loaded.settings.upstreams)
    print(f"{loaded.file or 'environment'}: valid; upstreams: {names}")
    return 0


def _live(settings: Settings, *, as_json: bool) -> int:
    from proxy.cli.live import look, table

    found = asyncio.run(look(settings))
    if as_json:
        print(json.dumps({"upstreams": [one.told() for one in found]}, indent=2))
    else:
        print("\n".join(table(found)))
    return 1 if any(one.problems for one in found) else 0
