"""What do these tests share: a shared cache with nothing of its own to say, before a scripted origin."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.conftest import Start
from tests.origin import Origin
from tests.running import Leeward

_UNIQUE = itertools.count()


def shared(base_url: str) -> dict[str, Any]:
    """The configuration under which the suite judges."""
    upstream = {
        "base_url": base_url,
        "prefix": "/",
        "retry": {"attempts": 1},
        "errors": "annotate",
        "cache": {"scope": "shared", "default_ttl": "0s"},
    }
    return {"log": {"format": "json", "level": "warning", "access": False}, "upstreams": {"api": upstream}}


@pytest.fixture
def cache(leeward: Start, origin: Origin) -> Leeward:
    return leeward(shared(origin.url))


@pytest.fixture
def path() -> str:
    return f"/case-{next(_UNIQUE)}"
