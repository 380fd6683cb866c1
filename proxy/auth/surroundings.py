"""What does a credential need beside what is written of it?"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from proxy.core.ports import Chance, Clock, Fetch
from proxy.core.value import dataclass

if TYPE_CHECKING:
    from proxy.auth.rotation import Kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """`salt` keys the identities of credentials, `fetch` asks token endpoints.

    `rotated` keeps refresh tokens beyond a reload, where no file does.
    """

    salt: bytes = field(repr=False)
    clock: Clock
    chance: Chance
    fetch: Fetch
    rotated: dict[str, Kept] = field(repr=False)
