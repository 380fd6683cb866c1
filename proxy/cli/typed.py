"""How are arguments read, help given and mistakes explained? By typer, from each command's signature."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Annotated

import typer

from proxy import __version__


def typed(given: Sequence[str], commands: Mapping[str, str]) -> None:
    """Runs the command that is meant; `commands` are names with their lines. Raises SystemExit."""
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
    for name, line in commands.items():
        if name == chosen:
            app.command(name)(_function(name))
        else:
            app.command(name, help=line)(_unopened)
    app(list(given), prog_name="leeward")


def _function(name: str) -> Callable[..., int | None]:
    module = import_module(f"proxy.cli.{name}")
    # A plain start does without typer: to read the options of `run`, it has to be given to it.
    vars(module).setdefault("typer", typer)
    function: Callable[..., int | None] = getattr(module, name)
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
