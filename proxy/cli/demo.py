"""What would Leeward do for me? `leeward demo`: a flaky API, the real proxy in front, and both compared."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.live import Live

from proxy.cli import comparison
from proxy.cli.comparison import Side
from proxy.cli.flaky import TOKEN, Flaky
from proxy.cli.traffic import Run, play, trace

_START_WITHIN = 30.0  # seconds; the first start after an installation, on a busy machine, takes long
_STOP_WITHIN = 5.0


class NotStartedError(Exception):
    """The proxy did not become ready; holds what it said."""


def demo(
    *,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the API and the proxy running until Ctrl-C.")
    ] = False,
) -> int:
    """Show what it does, on a flaky API made for it: no network, no configuration, some seconds.

    Example: leeward demo --keep
    """
    console = Console()
    if not console.is_terminal or console.width > comparison.WIDTH:
        console.width = comparison.WIDTH
    try:
        return asyncio.run(_demo(console, keep=keep))
    except NotStartedError as error:
        Console(stderr=True).print(f"The proxy did not start:\n{error}", markup=False)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 0


async def _demo(console: Console, *, keep: bool) -> int:
    whole = asyncio.current_task()
    if whole is not None:
        # Ctrl-C as well: a shell's background jobs inherit it ignored, and Python then leaves it so.
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, whole.cancel)
    straight = Side(run=Run(), upstream=Flaky())
    through = Side(run=Run(), upstream=Flaky())
    calls = trace()
    console.print(comparison.opening(len(calls), straight.upstream.mood))
    async with contextlib.AsyncExitStack() as stack:
        for side in (straight, through):
            await side.upstream.start()
            stack.push_async_callback(side.upstream.stop)
        listen, admin = (f"127.0.0.1:{port}" for port in _free_ports(2))
        await stack.enter_async_context(_proxy(_settings(through.upstream.url, listen, admin)))
        own = {"Authorization": f"Bearer {TOKEN}"}  # through Leeward, the app need not know it
        with Live(console=console, auto_refresh=False, transient=True) as live:
            async with asyncio.TaskGroup() as group:
                runs = [
                    group.create_task(play(calls, straight.upstream.url, straight.run, own)),
                    group.create_task(play(calls, f"http://{listen}", through.run, {})),
                ]
                while console.is_terminal and not all(run.done() for run in runs):
                    live.update(comparison.picture(straight, through, len(calls)), refresh=True)
                    await asyncio.sleep(0.1)
        console.print(comparison.picture(straight, through, len(calls)))
        console.print(comparison.deeds(through))
        console.print(comparison.specimen(straight, through))
        console.print(comparison.ending(listen, admin, keep=keep))
        while keep:
            await play(calls, f"http://{listen}", Run(), {})  # so that there is something to look at
    return 0


def _settings(upstream: str, listen: str, admin: str) -> dict[str, Any]:
    return {
        "server": {"listen": listen, "admin": admin, "drain_timeout": "1s"},
        "log": {"level": "error", "access": False},
        "upstreams": {
            "shop": {
                "base_url": upstream,
                "prefix": "/",
                "auth": {"type": "bearer", "token": TOKEN},
                "retry": {
                    "attempts": comparison.ATTEMPTS,
                    "budget": {"ratio": comparison.RATIO, "min_per_second": comparison.PER_SECOND},
                },
            }
        },
    }


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in held]


class _Papers:
    """The files of the proxy's process: its configuration, and what it writes to stderr."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="leeward-demo-")
        self.config = Path(self._folder.name, "leeward.yaml")
        self.config.write_text(yaml.safe_dump(settings), encoding="utf-8")
        self.log = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `remove`)

    def said(self) -> str:
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def remove(self) -> None:
        self.log.close()
        self._folder.cleanup()


@contextlib.asynccontextmanager
async def _proxy(settings: dict[str, Any]) -> AsyncIterator[None]:
    """The real program in a process of its own, ready; stopped at the end."""
    # What the user's environment configures is not the demo's business.
    env = {name: value for name, value in os.environ.items() if not name.startswith("LEEWARD_")}
    papers = await asyncio.to_thread(_Papers, settings)
    try:
        process = await asyncio.create_subprocess_exec(
            # -P: a folder called `proxy` where the user stands is not this program.
            *(sys.executable, "-P", "-m", "proxy", "run", "--config", str(papers.config)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=papers.log,
            env=env,
            start_new_session=True,  # Ctrl-C is for us: we stop it
        )
        try:
            if not await _ready_line(process):
                said = await asyncio.to_thread(papers.said)
                raise NotStartedError(said or f"It was not ready after {_START_WITHIN:g} s.")
            yield
        finally:
            await _stop(process)
    finally:
        await asyncio.to_thread(papers.remove)


async def _ready_line(process: asyncio.subprocess.Process) -> bytes:
    """The one line on stdout that says it serves; empty where it ended or kept silent."""
    if process.stdout is not None:
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(process.stdout.readline(), _START_WITHIN)
    return b""


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP_WITHIN)
    except TimeoutError:
        process.kill()
        await process.wait()
