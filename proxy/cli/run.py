"""`leeward run`: how does the proxy start?"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    import typer  # of its own options a start knows the names, and needs no more

    from proxy.config.loading import Loaded

_UPSTREAMS = "LEEWARD_UPSTREAMS__"
_NOTHING = (
    "There is no configuration: no ./leeward.yaml, no LEEWARD_CONFIG, no --config and no --upstream.\n"
    "`leeward init` writes a leeward.yaml to start from; `leeward run --upstream URL` needs none."
)


def run(
    config: Annotated[
        str | None,
        typer.Option(help="YAML file. Default: ./leeward.yaml, then LEEWARD_CONFIG.", metavar="FILE"),
    ] = None,
    upstream: Annotated[
        str | None, typer.Option(help="One upstream's base URL, at prefix /.", metavar="URL")
    ] = None,
    token_env: Annotated[
        str | None,
        typer.Option(help="With --upstream: the variable that holds a bearer token.", metavar="NAME"),
    ] = None,
    ttl: Annotated[
        str | None,
        typer.Option(
            help="With --upstream: how long to keep answers that do not say it.", metavar="DURATION"
        ),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(help="Where to serve: host:port, [::1]:port or unix:/path.", metavar="ADDR"),
    ] = None,
    admin: Annotated[
        str | None, typer.Option(help="The admin port's address, in the same forms.", metavar="ADDR")
    ] = None,
    workers: Annotated[str | None, typer.Option(help="Processes that share the port.", metavar="N")] = None,
) -> int:
    """Runs the proxy.

    Example: leeward run --upstream https://api.github.com --token-env GITHUB_TOKEN --ttl 60s
    """
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # else each start looks through all packages
    from proxy.config.loading import find, load, single_upstream
    from proxy.config.problems import ConfigError

    if upstream is None and (token_env is not None or ttl is not None):
        print("--token-env and --ttl go with --upstream", file=sys.stderr)
        return 2
    given: dict[str, Any] = {} if upstream is None else single_upstream(upstream, token_env, ttl)
    sockets = {"listen": listen, "admin": admin, "workers": workers}
    server = {name: value for name, value in sockets.items() if value is not None}
    if server:
        given["server"] = server
    named = None if config is None else Path(config)
    file = named if named is not None or upstream is not None else find(os.environ)
    if file is None and upstream is None and not any(name.startswith(_UPSTREAMS) for name in os.environ):
        print(_NOTHING, file=sys.stderr)
        return 2

    def again() -> Loaded:
        return load(file, given, os.environ)

    try:
        loaded = again()
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return 2
    return _serve(loaded, again)


def _serve(loaded: Loaded, again: Callable[[], Loaded]) -> int:
    """Runs until told to stop; the exit code."""
    import logging

    from proxy.config.certificates import CertificateError
    from proxy.upstream.authorities import unread

    with unread():
        from proxy.server.cores import workers
        from proxy.server.worker import ListenError, Worker
        from proxy.upstream.library import LibraryError, check_library

    def ready(proxy: str, admin: str) -> None:
        for warning in loaded.warnings:
            logging.getLogger("leeward").warning("%s", warning)
        gc.freeze()  # without collecting first: that took a tenth of the start and gave no page back
        gc.enable()
        print(f"leeward ready: {proxy} admin {admin}", flush=True)

    try:
        check_library()
        count = workers(loaded.settings.server.workers)
        if count > 1:
            return _several(loaded, count, ready, again)
        _run(Worker(loaded, ready=ready, again=again).run())
    except (ListenError, LibraryError, CertificateError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _several(
    loaded: Loaded, count: int, ready: Callable[[str, str], None], again: Callable[[], Loaded]
) -> int:
    from proxy.server.several import NurseryLostError, StartError, serve

    try:
        serve(loaded, count, ready=ready, again=again)
    except (StartError, NurseryLostError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _run(serving: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:  # where it has no build, asyncio's own loop serves, slower
        import asyncio

        asyncio.run(serving)
    else:
        uvloop.run(serving)
