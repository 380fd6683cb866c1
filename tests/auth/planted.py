"""What a scheme's tests inject: a secret that can change, fail, and be searched for everywhere."""

from __future__ import annotations

from proxy.core.failure import CredentialError
from proxy.core.message import Headers, Request, Response, Whole
from proxy.core.routing import Origin

CANARY = "c4nary/S3cret+value=="
SALT = b"0123456789abcdef"
ORIGIN = Origin(scheme="https", host="api.example.com", port=443)


class Planted:
    """A core.ports.Secret."""

    def __init__(
        self, value: str | None = CANARY, place: str = "env PLANTED", *, before: str | None = None
    ) -> None:
        self.value = value
        self.place = place
        self.before = before

    def reveal(self) -> str:
        if self.value is None:
            raise CredentialError(f"{self.place} is not set")
        return self.value

    def previous(self) -> str | None:
        return self.before

    def describe(self) -> str:
        return self.place


class Hands:
    """A core.ports.Clock whose hands are turned; it begins on 30 August 2015, 12:36:00 UTC."""

    def __init__(self) -> None:
        self.time = 0.0
        self.skew = 0.0

    def now(self) -> float:
        return 1000.0 + self.time

    def wall(self) -> float:
        return 1440938160.0 + self.time + self.skew


def request(
    *fields: tuple[str, str], target: str = "/a?b=c", method: str = "GET", body: bytes = b""
) -> Request:
    return Request(method=method, target=target, headers=Headers.of(*fields), body=Whole(body), host="here")


def answered(status: int, *fields: tuple[str, str]) -> Response:
    return Response(status=status, headers=Headers.of(*fields), body=Whole())
