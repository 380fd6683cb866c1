"""What is known of the APIs that people really call? `leeward presets`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from proxy.config import presets as known


def presets(
    name: Annotated[str | None, typer.Argument(help="A preset, or a file that holds one.")] = None,
) -> int:
    """List the presets, or print one as YAML with the environment variables that it reads.

    Example: leeward presets stripe
    """
    if name is None:
        rows = [_row(known.read(one)) for one in known.names()]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
        for row in rows:
            print("  ".join([*map(str.ljust, row, widths), row[-1]]))
        return 0
    try:
        preset = known.read(name, Path())
    except ValueError as error:
        print(f"{name} {error}", file=sys.stderr)
        return 2
    reads = preset.reads
    print(f"# preset: {name}")
    print(f"# reads {', '.join(reads)} from the environment" if reads else "# reads no environment variable")
    if preset.address is not None and "base_url" not in preset.keys:
        print(f"# base_url is yours to write, such as {preset.address}")
    if preset.yours:
        print(f"# and so is {json.dumps(preset.yours)}")
    print(preset.text, end="")
    return 0


def _row(preset: known.Preset) -> tuple[str, str, str, str]:
    base_url = preset.keys.get("base_url")
    address = base_url if isinstance(base_url, str) else (preset.address or "")
    return preset.name, address, slot(preset.keys.get("auth")), " ".join(preset.reads or ["-"])


def slot(auth: Any) -> str:
    """Where the credential goes, in a word or two."""
    match auth:
        case {"type": "header", "name": str(field)}:
            return field
        case {"type": str(kind)}:
            return kind
        case _:
            return "none"
