"""What is no longer right? `leeward purge` has the running proxy forget it, and says how much went."""

from __future__ import annotations

import http.client
import json
import os
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

import typer

from proxy.cli.reaching import admin_address, connection
from proxy.config.addresses import Address

_PATIENCE = 30.0  # seconds; a purge looks at every key that is kept
_MISUSED = {HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY}


def purge(
    *,
    everything: Annotated[bool, typer.Option("--all", help="All that is stored.")] = False,
    upstream: Annotated[
        str | None, typer.Option(help="What is stored of this upstream.", metavar="NAME")
    ] = None,
    path: Annotated[
        str | None,
        typer.Option(
            help="Only paths like this, after the prefix: * within a segment, ** across.", metavar="GLOB"
        ),
    ] = None,
    tag: Annotated[str | None, typer.Option(help="Only answers that carry this tag.", metavar="TAG")] = None,
    admin: Annotated[
        str | None, typer.Option(help="The admin address; without it the configuration's.", metavar="ADDR")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="YAML file that names the admin address. Default: as leeward run.", metavar="FILE"),
    ] = None,
) -> int:
    """Purge what a running proxy has stored, and print how many entries went.

    Example: leeward purge --upstream github --path '/repos/**'
    """
    parts = {"upstream": upstream, "path": path, "tag": tag}
    asked: dict[str, Any] = {name: value for name, value in parts.items() if value is not None}
    problem = _problem(asked, everything=everything)
    if problem is not None:
        return _refused(problem)
    try:
        where = admin_address(admin, config, os.environ)
    except ValueError as error:
        return _refused(str(error))
    try:
        status, told = _ask(where, {"all": True} if everything else asked)
    except (OSError, ValueError, http.client.HTTPException) as error:
        print(f"leeward purge: no answer from {where}: {error}", file=sys.stderr)
        return 1
    if status == HTTPStatus.OK and isinstance(told.get("purged"), int):
        print(told["purged"])
        return 0
    detail = told.get("detail", "it says nothing of it")
    if status in _MISUSED:
        return _refused(str(detail))
    print(f"leeward purge: status {status} from {where}: {detail}", file=sys.stderr)
    return 1


def _problem(asked: dict[str, Any], *, everything: bool) -> str | None:
    if everything and asked:
        return "--all stands alone"
    if not everything and not asked:
        return "say what: --all, --upstream NAME or --tag TAG"
    if "path" in asked and "upstream" not in asked:
        return "--path needs --upstream NAME"
    return None


def _refused(problem: str) -> int:
    print(f"leeward purge: {problem}", file=sys.stderr)
    return 2


def _ask(where: Address, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """The status and the members of the answer. Raises OSError, ValueError, HTTPException."""
    asking = connection(where, _PATIENCE)
    try:
        asking.request("POST", "/api/v1/cache/purge", json.dumps(asked), {"Content-Type": "application/json"})
        answer = asking.getresponse()
        told = json.loads(answer.read())
    finally:
        asking.close()
    return answer.status, told if isinstance(told, dict) else {}
