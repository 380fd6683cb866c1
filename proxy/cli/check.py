"""Is this configuration valid? `leeward check`: every problem on its own line."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from proxy.config.loading import find, load
from proxy.config.problems import ConfigError


def check(
    file: Annotated[
        Path | None,
        typer.Argument(help="Without it: ./leeward.yaml, LEEWARD_CONFIG or the environment alone."),
    ] = None,
    *,
    live: Annotated[
        bool, typer.Option("--live", help="Also try each upstream (not in this version).")
    ] = False,
) -> int:
    """Say everything that is wrong with a configuration, as FILE:LINE: key: what, and what would be right.

    Exits 0 where it is valid and 2 where it is not. Secrets in the environment or in files are not read.

    Example: leeward check leeward.yaml
    """
    if live:
        message = "--live is not in this version, which checks the configuration alone; leave it out"
        print(message, file=sys.stderr)
        return 2
    try:
        loaded = load(file or find(os.environ), {}, os.environ)
    except ConfigError as error:
        print(error)
        return 2
    for warning in loaded.warnings:
        print(warning, file=sys.stderr)
    names = ", ".join(loaded.settings.upstreams)
    print(f"{loaded.file or 'environment'}: valid; upstreams: {names}")
    return 0
