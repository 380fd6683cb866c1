"""What is said where nothing unusual is said?

Reading a command line with all its help and mistakes costs a twentieth of a start. Where there is nothing but
options of the command, each once and with its value, that is left out; any doubt is typer's to resolve.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import Parameter, signature


def options(command: Callable[..., object], given: Sequence[str]) -> dict[str, str] | None:
    """The command's arguments by name; None where typer has to look."""
    known = {
        f"--{name.replace('_', '-')}": name
        for name, parameter in signature(command).parameters.items()
        if parameter.kind is Parameter.POSITIONAL_OR_KEYWORD
    }
    read: dict[str, str] = {}
    rest = iter(given)
    for word in rest:
        option, equals, value = word.partition("=")
        if not equals:
            value = next(rest, "")
        if option not in known or known[option] in read or not value or value.startswith("-"):
            return None
        read[known[option]] = value
    return read
