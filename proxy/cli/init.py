"""How do I begin? `leeward init` writes a small commented configuration and asks nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

STARTER = """\
# Leeward: one upstream to begin with. Check this file with `leeward check`, start with `leeward run`.
# Every setting with its default stands in config.example.yaml; the same keys may also come from the
# environment, as in LEEWARD_UPSTREAMS__GITHUB__BASE_URL.

server:
  listen: 127.0.0.1:8080    # your app's base URL: http://127.0.0.1:8080/github
  admin: 127.0.0.1:9464     # /metrics, /healthz, /readyz

upstreams:
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


def init(
    file: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("leeward.yaml"),
) -> int:
    """Write a commented starter configuration; a file that is there is never overwritten.

    Example: leeward init
    """
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(STARTER)
    except FileExistsError:
        print(f"{file} exists and was left as it is; name another file, or remove it first", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{file} cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    print(f"Wrote {file}. Next: leeward check {file}, then leeward run --config {file}")
    return 0
