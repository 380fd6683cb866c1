"""What must those who stand behind the admin port be able to tell and do?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from proxy.core.caching.purge import Purge
from proxy.core.value import dataclass


class UnknownUpstreamError(Exception):
    """`cache` and `purge` raise it for a name that no upstream has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What the endpoints read and turn.

    `exposition` takes an Accept and gives the page with its Content-Type; `readiness` says whether new
    requests are served, with details; `requests` takes a limit and answers newest first; `cache` lists at
    most so many entries of those that a purge would mean; `purge` says how many entries went; `explain`
    takes a method and a path and raises NoRouteError, BadRequestError or PermissionDeniedError; `drain`
    begins the drain and returns; `reload` answers the problems for which nothing was changed. Where nobody
    is there to be asked, they raise aiohttp's HTTPServiceUnavailable.
    """

    exposition: Callable[[str], Awaitable[tuple[bytes, str]]]
    readiness: Callable[[], Awaitable[tuple[bool, Mapping[str, Any]]]]
    status: Callable[[], Awaitable[Mapping[str, Any]]]
    requests: Callable[[int], Awaitable[list[dict[str, Any]]]]
    cache: Callable[[Purge, int], Awaitable[list[dict[str, Any]]]]
    purge: Callable[[Purge], Awaitable[int]]
    explain: Callable[[str, str], Awaitable[Mapping[str, Any]]]
    drain: Callable[[], None]
    reload: Callable[[], Awaitable[list[str]]]
