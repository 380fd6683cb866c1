"""What did the operator say about caching for one route?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from proxy.core.caching.tags import FIELDS
from proxy.core.value import dataclass


class Scope(StrEnum):
    """Whose answers an entry may serve."""

    CREDENTIAL = "credential"  # a private cache per credential: `private` and authorised answers too
    SHARED = "shared"  # a shared cache in the sense of RFC 9111


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPolicy:
    """What enters the key beside route, credential, method and target."""

    ignore_query: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()  # lower-case names whose values are part of the key
    ignore_body_fields: tuple[str, ...] = ()  # paths in a JSON body: `user`, `items.*.id`


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePolicy:
    """Durations in seconds; None = not set, which for `override_ttl` means what the origin says.

    `store_set_cookie`: an answer that sets a cookie may be kept, without its cookies.
    """

    enabled: bool = True
    scope: Scope = Scope.CREDENTIAL
    default_ttl: float = 0.0
    override_ttl: float | None = None
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 0.0
    negative_ttl: Mapping[int, float] = field(default_factory=dict)
    methods: frozenset[str] = frozenset({"GET", "HEAD"})
    store_set_cookie: bool = False
    key: KeyPolicy = KeyPolicy()
    max_entry_bytes: int = 8 * 1024 * 1024
    tag_headers: tuple[str, ...] = FIELDS  # lower-case names of fields that carry tags
