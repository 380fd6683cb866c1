"""Where does a credential run its own errand, and what does it ask there?"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from proxy.core.expression import expression
from proxy.core.failure import APIError, CredentialError
from proxy.core.message import Headers, Request, Whole
from proxy.core.ports import Fetch, Reply
from proxy.core.routing import Origin
from proxy.core.value import dataclass

WITHIN = 10.0  # seconds for one errand
_TARGET = expression(r"/[\x21\x22\x24-\x7e]*", re.ASCII)
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A URL that a credential is sent to, taken apart once."""

    url: str
    origin: Origin
    target: str

    async def ask(self, fetch: Fetch, method: str, fields: Headers, body: bytes = b"") -> Reply:
        """One request. Raises CredentialError where no answer came; its words hold nothing that was sent."""
        told = fields.plus(("Accept", "application/json"), ("User-Agent", "leeward"))
        request = Request(method=method, target=self.target, headers=told, body=Whole(body))
        try:
            return await fetch(request, self.origin, within=WITHIN)
        except APIError as failure:
            raise CredentialError(f"No answer from {self.origin.authority}: {failure.detail}") from None


def endpoint(url: str) -> Endpoint:
    """Raises ValueError, with words for the operator."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("is no URL; write as in https://auth.example.com/oauth/token") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("should be a URL such as https://auth.example.com/oauth/token")
    if "@" in parts.netloc or parts.fragment or "#" in url:
        raise ValueError("a token URL holds no user name, password or fragment; write them as fields of auth")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if _TARGET.fullmatch(target) is None or not parts.hostname.isascii() or port == 0:
        raise ValueError("holds characters that no URL has; write them percent-encoded")
    origin = Origin(scheme=parts.scheme, host=parts.hostname, port=port or _PORTS[parts.scheme])
    return Endpoint(url=url, origin=origin, target=target)
