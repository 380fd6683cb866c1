"""What can be typed after `leeward`? One table of commands, one file each, imported only when it is run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated

import typer

from proxy import __version__

# Name → its line in `leeward --help`. `name` is the function `name` in `proxy.cli.name`; it returns the
# exit code: 0 fine, 2 bad usage or configuration, 1 anything else.
COMMANDS = {
    "run": "Run the proxy.",
    "demo": "Show what it does, on a flaky API made for it.",
    "check": "Say everything that is wrong with a configuration.",
    "explain": "Say what would become of a request, and why.",
    "init": "Write a commented starter leeward.yaml.",
    "presets": "List what is known of popular APIs, or print one of them.",
    "schema": "Print the configuration's JSON Schema, for editors.",
    "purge": "Have a running proxy forget what it has stored.",
    "wait": "Wait until a running proxy is ready.",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line. Raises SystemExit with the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    chosen = next((argument for argument in given if not argument.startswith("-")), None)
    app = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        result_callback=_leave,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback()(_leeward)
    for name, line in COMMANDS.items():
        if name == chosen:
            app.command(name)(_function(name))
        else:
            app.command(name, help=line)(_unopened)
    app(given, prog_name="leeward")


def _function(name: str) -> Callable[..., int | None]:
    function: Callable[..., int | None] = getattr(import_module(f"proxy.cli.{name}"), name)
    return function


def _unopened() -> None:
    """Stands for the commands that were not chosen: for the list only."""


def _leave(code: int | None, **_: bool) -> None:
    raise typer.Exit(code or 0)


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer's form of a callback
    if wanted:
        print(f"leeward {__version__}")
        raise typer.Exit


def _leeward(
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version and leave.")
    ] = False,
) -> None:
    """A caching, retrying reverse proxy for HTTP APIs, run beside your app.

    Example: leeward run --upstream https://api.github.com --ttl 60s
    """
