"""How does a GitHub App act for one of its installations? Its JWT is traded for a token of an hour."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime

from proxy.auth.assertion import signed
from proxy.auth.endpoint import Endpoint
from proxy.auth.granting import document, token_of
from proxy.auth.renewal import Obtained
from proxy.core.caching.syntax import instant
from proxy.core.message import Headers
from proxy.core.ports import Clock, Fetch, Reply, Secret

_EARLIER = 60  # seconds before now, since GitHub's clock may be behind ours
_LATER = 540  # seconds after now; GitHub allows 600 between the two
_HOUR = 3600.0
_REFUSED = 401
_LEAST_SKEW = 30.0  # seconds; less is what a network takes, and the above allows for it


class GithubApp:
    """`{type: github_app, …}`: a Grant. `place` is the installation's `access_tokens`.

    `wish` narrows what the token may do: `repositories`, `permissions`.
    """

    __slots__ = ("_app", "_clock", "_fetch", "_key", "_place", "_skew", "_wish")

    scheme = "github_app"

    def __init__(
        self,
        place: Endpoint,
        app: str,
        key: Secret,
        wish: Mapping[str, object],
        *,
        fetch: Fetch,
        clock: Clock,
    ) -> None:
        self._place = place
        self._app = app
        self._key = key
        self._wish = dict(wish)
        self._fetch = fetch
        self._clock = clock
        self._skew = 0.0  # seconds that GitHub's clock is ahead of ours, where that was too much

    def __repr__(self) -> str:
        return f"GithubApp({self.describe()})"

    def describe(self) -> str:
        return f"github_app {self._app}, key from {self._key.describe()}"

    def client(self) -> tuple[str, ...]:
        return self._place.url, self._app, json.dumps(self._wish, sort_keys=True)

    def secrets(self) -> Iterator[str]:
        yield self._key.reveal()

    async def obtain(self, last: str | None) -> Obtained[str]:  # noqa: ARG002 - the grant's
        reply = await self._asked()
        if reply.status == _REFUSED and self._set_clock(reply):
            reply = await self._asked()
        said = document(reply, self._place, self._clock.wall())
        return Obtained(value=token_of(said.get("token"), self._place), lifetime=self._life(said, reply))

    async def _asked(self) -> Reply:
        now = int(self._clock.wall() + self._skew)
        claims = {"iss": self._app, "iat": now - _EARLIER, "exp": now + _LATER}
        proof = await signed(claims, self._key.reveal(), "RS256", key_id=None, place=self._key.describe())
        fields = Headers.of(("Authorization", f"Bearer {proof}"), ("Content-Type", "application/json"))
        body = json.dumps(self._wish).encode() if self._wish else b"{}"
        return await self._place.ask(self._fetch, "POST", fields, body)

    def _set_clock(self, reply: Reply) -> bool:
        """Whether the answer says that our clock is off, and we did not know it."""
        wall = self._clock.wall()
        theirs = instant(reply.headers.get("date") or "", wall)
        if theirs is None or abs(theirs - wall - self._skew) < _LEAST_SKEW:
            return False
        self._skew = theirs - wall
        return True

    def _life(self, said: Mapping[str, object], reply: Reply) -> float:
        """Seconds by GitHub's own clock, where it tells both ends; an hour where it does not."""
        wall = self._clock.wall()
        date = instant(reply.headers.get("date") or "", wall)
        try:
            end = datetime.fromisoformat(str(said.get("expires_at"))).timestamp()
        except ValueError:
            return _HOUR
        left = end - (wall if date is None else date)
        return left if 0 < left <= _HOUR else _HOUR
