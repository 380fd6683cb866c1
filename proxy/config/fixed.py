"""Which settings cannot change while the program runs?

A reload that would change one of them is refused, with the place where it stands. Several workers are
replaced one by one and can take up more than one process that goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from proxy.config.problems import Key
from proxy.config.settings import Settings

# Sockets that are open and a store that is in use. `server.tls.cert` and `.key` are read anew instead.
_ALONE: tuple[tuple[str, ...], ...] = (
    ("server", "listen"),
    ("server", "admin"),
    ("server", "workers"),
    ("server", "tls", "client_ca"),
    ("cache", "store"),
    ("cache", "redis"),
    ("cache", "max_bytes"),
    ("cache", "max_entry_bytes"),
    ("cache", "max_idempotency_bytes"),
)
_SEVERAL: tuple[tuple[str, ...], ...] = (("server", "listen"), ("server", "admin"))


def fixed(before: Settings, after: Settings, *, several: bool) -> Iterator[tuple[Key, str]]:
    """What differs and may not, each as a problem; `several` workers, or one process."""
    if not several and (before.server.tls is None) != (after.server.tls is None):
        yield ("server", "tls"), _sentence("TLS")
    for key in _SEVERAL if several else _ALONE:
        if _value(before, key) != _value(after, key):
            yield key, _sentence("this")


def _sentence(what: str) -> str:
    return f"{what} cannot change while it runs; restart it, or write it as it was"


def _value(settings: Settings, key: tuple[str, ...]) -> Any:
    here: Any = settings
    for part in key:
        here = getattr(here, part, None)
    return here
