"""Which proxy, configured by presets alone, stands between an SDK and a scripted vendor?"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.conftest import Start
from tests.origin import Hit, Origin, chunk, head
from tests.running import Leeward
from tests.script import Part

JSON = ("Content-Type", "application/json")
ATTEMPTS = 3
NOBODY = 1  # a port on which nobody listens; always the same one, so that one proxy serves a module

# By upstream: the preset, what follows the vendor's host in its base URL, and the variable with the key.
VENDORS = {
    "openai": ("openai", "/v1", {"OPENAI_API_KEY": "key-of-openai"}),
    "anthropic": ("anthropic", "", {"ANTHROPIC_API_KEY": "key-of-anthropic"}),
    "stripe": ("stripe", "", {"STRIPE_API_KEY": "key-of-stripe"}),
    "github": ("github", "", {"GITHUB_TOKEN": "key-of-github"}),
    "slack": ("slack", "/api", {"SLACK_BOT_TOKEN": "key-of-slack"}),
}


def behind(leeward: Start, origin: Origin, name: str) -> Leeward:
    """The proxy for one vendor; what it cannot reach is served as `gone`, what is silent as `slow`."""
    preset, path, env = VENDORS[name]
    base = f"{origin.url}{path}"
    waits = {"timeout": {"attempt": "300ms"}, "retry": {"attempts": 1}}
    upstreams: dict[str, Any] = {
        name: {"preset": preset, "base_url": base},
        "other": {"preset": preset, "base_url": base},
        "gone": {"preset": preset, "base_url": f"http://127.0.0.1:{NOBODY}{path}"},
        "slow": {"preset": preset, "base_url": base, **waits},
        # A dead vendor: over ten seconds one retry, or a fifth of the calls.
        "dear": {
            "preset": preset,
            "base_url": base,
            "retry": {"budget": {"ratio": 0.2, "min_per_second": 0.1}},
        },
    }
    return leeward({"upstreams": upstreams}, env=env)


def answer(document: Any, status: int = 200) -> tuple[int, bytes, list[tuple[str, str]]]:
    """For `origin.on(…).reply(*answer(…))`."""
    return status, json.dumps(document).encode(), [JSON]


def events(*texts: str, last: bool = True) -> list[Part]:
    """A stream of events as an HTTP/1.1 server sends one; without its end where `last` is false."""
    start = head(200, [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")])
    return [start, *(chunk(text.encode()) for text in texts), *([b"0\r\n\r\n"] if last else [])]


def echo(document: Callable[[Hit], Any]) -> Callable[[Hit], bytes]:
    """An answer made of what came."""

    def written(hit: Hit) -> bytes:
        body = json.dumps(document(hit)).encode()
        return head(200, [JSON, ("Content-Length", str(len(body)))]) + body

    return written


def keys(origin: Origin) -> set[tuple[str, ...]]:
    """The credentials that reached the vendor."""
    names = ("authorization", "x-api-key")
    return {tuple(value for name in names for value in hit.headers(name)) for hit in origin.hits()}
