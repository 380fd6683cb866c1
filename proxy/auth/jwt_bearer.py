"""How is a signed statement traded for a token? (RFC 7523 §2.1; Google's service accounts)"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import field

from proxy.auth.assertion import members, signed
from proxy.auth.endpoint import Endpoint, endpoint
from proxy.auth.granting import ask
from proxy.auth.renewal import Obtained
from proxy.core.failure import CredentialError
from proxy.core.message import Headers
from proxy.core.ports import Clock, Fetch, Secret
from proxy.core.value import dataclass

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_NO_FIELDS = Headers()


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What is stated beside the key. `audience` "" = the token endpoint's URL; `lifetime` in seconds."""

    subject: str = ""
    audience: str = ""
    scope: str = ""
    lifetime: float = 3600.0
    claims: Mapping[str, str | int | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Who states it, and with what: `key` is a PEM text."""

    place: Endpoint
    issuer: str
    key: str
    algorithm: str
    key_id: str | None

    def __repr__(self) -> str:
        return f"Signer({self.issuer})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """A signer that the configuration spells out."""

    place: Endpoint
    issuer: str
    key: Secret
    algorithm: str = "RS256"
    key_id: str | None = None

    def describe(self) -> str:
        return f"issuer {self.issuer}, key from {self.key.describe()}"

    def signer(self) -> Signer:
        """Raises CredentialError."""
        return Signer(
            place=self.place,
            issuer=self.issuer,
            key=self.key.reveal(),
            algorithm=self.algorithm,
            key_id=self.key_id,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccount:
    """Google's key file: JSON with `client_email`, `private_key`, `private_key_id` and `token_uri`."""

    file: Secret

    def describe(self) -> str:
        return f"service account from {self.file.describe()}"

    def signer(self) -> Signer:
        """Raises CredentialError."""
        place = self.file.describe()
        said = members(self.file.reveal(), place)
        texts = [said.get(name) for name in ("client_email", "private_key", "token_uri")]
        if said.get("type") != "service_account" or not all(isinstance(text, str) and text for text in texts):
            raise CredentialError(f"What {place} holds is no key of a service account.")
        issuer, key, url = map(str, texts)
        try:
            token_endpoint = endpoint(url)
        except ValueError:
            raise CredentialError(f"The token_uri in {place} is no URL.") from None
        key_id = said.get("private_key_id")
        return Signer(
            place=token_endpoint,
            issuer=issuer,
            key=key,
            algorithm="RS256",
            key_id=key_id if isinstance(key_id, str) else None,
        )


class JwtBearer:
    """`{type: jwt_bearer, …}`: a Grant."""

    __slots__ = ("_by", "_clock", "_fetch", "_statement")

    scheme = "jwt_bearer"

    def __init__(self, by: Own | ServiceAccount, statement: Statement, *, fetch: Fetch, clock: Clock) -> None:
        self._by = by
        self._statement = statement
        self._fetch = fetch
        self._clock = clock

    def __repr__(self) -> str:
        return f"JwtBearer({self.describe()})"

    def describe(self) -> str:
        return f"jwt_bearer token, {self._by.describe()}"

    def client(self) -> tuple[str, ...]:
        by, said = self._by.signer(), self._statement
        claims = json.dumps(dict(said.claims), sort_keys=True)
        return by.place.url, by.issuer, said.subject, said.audience, said.scope, claims

    def secrets(self) -> Iterator[str]:
        # Nothing of a key is ever sent; its own lines would stand in no text from elsewhere.
        yield self._by.signer().key

    async def obtain(self, last: str | None) -> Obtained[str]:  # noqa: ARG002 - the grant's
        by, said = self._by.signer(), self._statement
        now = int(self._clock.wall())
        claims = {
            **said.claims,
            "iss": by.issuer,
            "aud": said.audience or by.place.url,
            "iat": now,
            "exp": now + int(said.lifetime),
        }
        if said.subject:
            claims["sub"] = said.subject
        if said.scope:
            claims["scope"] = said.scope
        assertion = await signed(claims, by.key, by.algorithm, key_id=by.key_id, place=self._by.describe())
        form = [("grant_type", GRANT), ("assertion", assertion)]
        granted = await ask(self._fetch, by.place, form, _NO_FIELDS, wall=self._clock.wall())
        return Obtained(value=granted.token, lifetime=granted.lifetime)
