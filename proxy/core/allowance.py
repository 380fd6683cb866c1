"""How much may all requests together hold?"""

from __future__ import annotations


class Allowance:
    """So many bytes; `held` of them are taken."""

    __slots__ = ("held", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0

    def take(self, count: int) -> bool:
        """Takes so many, which are given back by who took them; False where they are not to be had."""
        if self.held + count > self.most:
            return False
        self.held += count
        return True

    def give(self, count: int) -> None:
        self.held -= count
