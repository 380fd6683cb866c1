"""What a scheme's tests inject: a secret that can change, fail, and be searched for everywhere."""

from __future__ import annotations

from proxy.core.failure import CredentialError
from proxy.core.message import Headers, Request, Whole

CANARY = "c4nary/S3cret+value=="
SALT = b"0123456789abcdef"


class Planted:
    """A core.ports.Secret."""

    def __init__(self, value: str | None = CANARY, place: str = "env PLANTED") -> None:
        self.value = value
        self.place = place

    def reveal(self) -> str:
        if self.value is None:
            raise CredentialError(f"{self.place} is not set")
        return self.value

    def describe(self) -> str:
        return self.place


def request(*fields: tuple[str, str], target: str = "/a?b=c") -> Request:
    return Request(method="GET", target=target, headers=Headers.of(*fields), body=Whole(), host="here")
