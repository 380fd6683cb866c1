"""What can be typed after `leeward`? One table of commands, one file each, imported only when it is run."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

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
    "top": "Watch a running proxy in the terminal.",
    "wait": "Wait until a running proxy is ready.",
}

# Objects more than before, after which the young ones are looked through. What a request makes is freed with
# it; the usual 700 are there whenever some more of them run at once.
_YOUNG = 5000


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line. Raises SystemExit with the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["run"]:
        gc.disable()  # what a start makes lives as long as the process: looking through it finds nothing
        gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
        from proxy.cli.plain import options
        from proxy.cli.run import run

        plain = options(run, given[1:])
        if plain is not None:
            raise SystemExit(run(**plain))
    from proxy.cli.typed import typed

    typed(given, COMMANDS)
