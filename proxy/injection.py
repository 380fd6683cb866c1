"""How does a credential as it is written become one that is put on requests?

Wiring's part for credentials, where config and auth meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn, assert_never

from proxy.auth.basic import Basic
from proxy.auth.bearer import Bearer
from proxy.auth.header import Header
from proxy.auth.keys import Keys
from proxy.auth.mtls import MutualTLS
from proxy.auth.none import NoCredential
from proxy.auth.query import Query
from proxy.auth.several import Several
from proxy.auth.surroundings import Surroundings
from proxy.config import credentials
from proxy.config.routes import UpstreamSettings
from proxy.core.failure import CredentialError
from proxy.core.message import Request
from proxy.core.ports import Expiring, Injector
from proxy.core.routing import Origin, Route

if TYPE_CHECKING:
    from proxy.config.schemes import AnyCredential

Placed = (
    credentials.NoCredential
    | credentials.BearerCredential
    | credentials.BasicCredential
    | credentials.HeaderCredential
    | credentials.QueryCredential
    | credentials.MtlsCredential
)


def injector(upstream: UpstreamSettings, here: Surroundings) -> Injector:
    """The upstream's credential, or all of those that go out together."""
    auth = upstream.auth
    if isinstance(auth, tuple):
        return Several([_one(each, upstream, here) for each in auth], here.salt)
    return _one(auth, upstream, here)


def _one(auth: AnyCredential, upstream: UpstreamSettings, here: Surroundings) -> Injector:
    match auth:
        case (
            credentials.NoCredential()
            | credentials.BearerCredential()
            | credentials.BasicCredential()
            | credentials.HeaderCredential()
            | credentials.QueryCredential()
            | credentials.MtlsCredential()
        ):
            return _placed(auth, here)
        case _:
            from proxy.elaborate import elaborate  # noqa: PLC0415 - only who has such a credential pays for it

            return elaborate(auth, upstream, here)


def _placed(auth: Placed, here: Surroundings) -> Injector:
    injected: Injector
    match auth:
        case credentials.NoCredential():
            injected = NoCredential()
        case credentials.BearerCredential(token=tokens):
            injected = Bearer(Keys(tokens, here.clock), here.salt)
        case credentials.BasicCredential(username=username, password=password):
            injected = Basic(username, password, here.salt)
        case credentials.HeaderCredential(name=name, value=values, prefix=prefix):
            injected = Header(name, Keys(values, here.clock), here.salt, prefix=prefix or "")
        case credentials.QueryCredential(name=name, value=values):
            injected = Query(name, Keys(values, here.clock), here.salt)
        case credentials.MtlsCredential(cert=cert):
            injected = MutualTLS(cert, here.salt)
        case _:
            assert_never(auth)
    return injected


async def nowhere(request: Request, origin: Origin, *, within: float) -> NoReturn:
    """A core.ports.Fetch for what is only looked at. Raises CredentialError."""
    del request, origin, within
    raise CredentialError("Nothing is asked of a token endpoint here.")


def ends(routes: Sequence[Route]) -> dict[str, float]:
    """Seconds until each credential that has an end is of no use, by upstream."""
    ends = {one.name: one.injector.expires() for one in routes if isinstance(one.injector, Expiring)}
    return {name: left for name, left in ends.items() if left is not None}
