"""How do I begin? `leeward init` writes a small commented configuration and asks nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from proxy.config import presets

HEAD = """\
# Leeward: one upstream to begin with. Check this file with `leeward check`, start with `leeward run`.
# Every setting with its default stands in config.example.yaml; the same keys may also come from the
# environment, as in LEEWARD_UPSTREAMS__GITHUB__BASE_URL.

server:
  listen: 127.0.0.1:8080    # your app's base URL: http://127.0.0.1:8080/<name>
  admin: 127.0.0.1:9464     # /metrics, /healthz, /readyz

upstreams:
"""
GITHUB = """\
  github:                   # served below /github
    base_url: https://api.github.com
    # The credential that is put on every request; the app need not know it.
    # auth: {type: bearer, token: {env: GITHUB_TOKEN}}
    timeout: {attempt: 30s, total: 60s}
    retry:
      attempts: 3           # tries in all; 1 = never retry
    cache:
      default_ttl: 60s      # for answers that do not say how long they are fresh
"""


STARTER = HEAD + GITHUB


def init(
    file: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("leeward.yaml"),
    *,
    preset: Annotated[
        list[str] | None,
        typer.Option(help="An upstream from this preset; may be given several times. See leeward presets."),
    ] = None,
) -> int:
    """Write a commented starter configuration; a file that is there is never overwritten.

    Example: leeward init --preset stripe
    """
    text = STARTER
    if preset:
        try:
            text = HEAD + "".join(map(_upstream, dict.fromkeys(preset)))
        except ValueError as error:
            print(f"leeward init: {error}", file=sys.stderr)
            return 2
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(text)
    except FileExistsError:
        print(f"{file} exists and was left as it is; name another file, or remove it first", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{file} cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    print(f"Wrote {file}. Next: leeward check {file}, then leeward run --config {file}")
    return 0


def _upstream(written: str) -> str:
    """Raises ValueError for what is no preset."""
    try:
        preset = presets.read(written, Path())
    except ValueError as error:
        raise ValueError(f"{written} {error}") from None
    lines = [
        f"  {preset.name}:",
        f"    preset: {written}    # {preset.about}; leeward presets {written} prints it",
    ]
    if preset.address is not None and "base_url" not in preset.keys:
        lines.append(f"    base_url: {preset.address}    # yours")
    lines += [f"    {key}: {json.dumps(value)}    # yours" for key, value in preset.yours.items()]
    if preset.reads:
        lines.append(f"    # Read from the environment: {', '.join(preset.reads)}.")
    return "\n".join([*lines, "    cache: {default_ttl: 0s}    # for answers that say nothing themselves\n"])
