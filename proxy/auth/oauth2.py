"""How does a client get a token from an OAuth 2.0 server? (RFC 6749 §4.4 and §6, RFC 8707, RFC 7523 §2.2)

With a refresh token it acts for the user who gave it that; without one, for itself (client credentials).
A refresh token that the provider replaces is kept before the new access token is used, and workers take
turns, because a provider that sees an old one again takes it for stolen.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack
from urllib.parse import quote_plus

from proxy.auth.assertion import signed
from proxy.auth.endpoint import Endpoint
from proxy.auth.granting import Granted, ask
from proxy.auth.placing import revealed
from proxy.auth.renewal import Obtained
from proxy.auth.rotation import Kept, Shelf, mark
from proxy.core.message import Headers
from proxy.core.ports import Clock, Fetch, Secret
from proxy.core.value import dataclass

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_LIFE = 60  # seconds
_NO_FIELDS = Headers()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientKey:
    """The key of `private_key_jwt`, a PEM text, and the name under which the provider knows it."""

    key: Secret
    algorithm: str
    key_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Who asks. `method` is one of RFC 7591's and OpenID Connect's `token_endpoint_auth_method`."""

    client_id: Secret
    method: str
    secret: Secret | None = None
    key: ClientKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the token is to be good for; all of it may be empty."""

    scope: str = ""
    audience: str = ""
    resource: tuple[str, ...] = ()

    def form(self) -> Iterator[tuple[str, str]]:
        if self.scope:
            yield "scope", self.scope
        if self.audience:
            yield "audience", self.audience
        for one in self.resource:
            yield "resource", one


class OAuth2:
    """`{type: oauth2, …}`: a Grant, with the client's own credential or with a refresh token."""

    __slots__ = ("_client", "_clock", "_fetch", "_place", "_refresh", "_rotated", "_shelf", "_wish")

    scheme = "oauth2"

    def __init__(
        self,
        place: Endpoint,
        client: Client,
        wish: Wish,
        *,
        refresh: Secret | None = None,
        shelf: Shelf | None = None,
        rotated: dict[str, Kept] | None = None,
        fetch: Fetch,
        clock: Clock,
    ) -> None:
        self._place = place
        self._client = client
        self._wish = wish
        self._refresh = refresh
        self._shelf = shelf
        self._fetch = fetch
        self._clock = clock
        self._rotated = {} if rotated is None else rotated

    def __repr__(self) -> str:
        return f"OAuth2({self.describe()})"

    def describe(self) -> str:
        how = (
            "client credentials"
            if self._refresh is None
            else f"refresh token from {self._refresh.describe()}"
        )
        return (
            f"oauth2 token of {self._place.origin.authority}, {how}, "
            f"client from {self._client.client_id.describe()}"
        )

    def client(self) -> tuple[str, ...]:
        wish = (self._wish.scope, self._wish.audience, *self._wish.resource)
        user = "" if self._refresh is None else revealed(self._refresh)
        return self._place.url, revealed(self._client.client_id), user, *wish

    def secrets(self) -> Iterator[str]:
        if self._client.secret is not None:
            secret = revealed(self._client.secret)
            yield secret
            yield _basic(revealed(self._client.client_id), secret)
        if self._refresh is not None:
            configured = revealed(self._refresh)
            yield configured
            kept = self._rotated.get(self._name(configured))
            if kept is not None:
                yield kept.refresh

    async def obtain(self, last: str | None) -> Obtained[str]:
        if self._refresh is None:
            granted = await self._asked([("grant_type", "client_credentials"), *self._wish.form()])
            return Obtained(value=granted.token, lifetime=granted.lifetime)
        configured = revealed(self._refresh)
        name = self._name(configured)
        async with AsyncExitStack() as stack:
            if self._shelf is not None:
                await stack.enter_async_context(self._shelf.locked())
                found, ours = await self._shelf.read(name), self._rotated.get(name)
                # A file that could not be written holds a token that was given away already.
                if found is not None and (ours is None or found.turn >= ours.turn):
                    self._rotated[name] = found
                    fresh = self._of_another(found, last)
                    if fresh is not None:
                        return fresh
            kept = self._rotated.get(name)
            refresh = configured if kept is None else kept.refresh
            form = [("grant_type", "refresh_token"), ("refresh_token", refresh), *self._wish.form()]
            granted = await self._asked(form)
            await self._keep(granted, name, refresh)
        return Obtained(value=granted.token, lifetime=granted.lifetime)

    def _name(self, configured: str) -> str:
        """Of all that descends from this configured refresh token."""
        return mark(self._place.url, configured)

    def _of_another(self, kept: Kept, last: str | None) -> Obtained[str] | None:
        """The token that another worker has just obtained."""
        left = kept.left(self._clock.wall())
        if left is None or kept.token in {"", last}:
            return None
        return Obtained(value=kept.token, lifetime=left)

    async def _keep(self, granted: Granted, name: str, refresh: str) -> None:
        before = self._rotated.get(name)
        kept = self._rotated[name] = Kept(
            origin=name,
            refresh=granted.refresh or refresh,
            token=granted.token,
            obtained=self._clock.wall(),
            lifetime=granted.lifetime,
            turn=1 if before is None else before.turn + 1,
        )
        if self._shelf is not None:
            await self._shelf.write(kept)
        elif granted.refresh not in {None, refresh}:
            Shelf.warn_of_none()

    async def _asked(self, form: list[tuple[str, str]]) -> Granted:
        client_id = revealed(self._client.client_id)
        fields = _NO_FIELDS
        match self._client.method:
            case "client_secret_basic" if self._client.secret is not None:
                pair = _basic(client_id, revealed(self._client.secret))
                fields = Headers.of(("Authorization", f"Basic {pair}"))
            case "client_secret_post" if self._client.secret is not None:
                form += [("client_id", client_id), ("client_secret", revealed(self._client.secret))]
            case "private_key_jwt" if self._client.key is not None:
                assertion = await self._assertion(client_id, self._client.key)
                form += [
                    ("client_id", client_id),
                    ("client_assertion_type", ASSERTION),
                    ("client_assertion", assertion),
                ]
            case _:
                form.append(("client_id", client_id))
        return await ask(self._fetch, self._place, form, fields, wall=self._clock.wall())

    async def _assertion(self, client_id: str, key: ClientKey) -> str:
        now = int(self._clock.wall())
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": self._place.url,
            "iat": now,
            "exp": now + _ASSERTION_LIFE,
            "jti": str(uuid.uuid4()),
        }
        place = key.key.describe()
        return await signed(claims, key.key.reveal(), key.algorithm, key_id=key.key_id, place=place)


def _basic(client_id: str, secret: str) -> str:
    # Both halves are form-encoded first (RFC 6749 §2.3.1).
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return base64.b64encode(pair.encode()).decode()
