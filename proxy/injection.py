"""How does a credential as it is written become one that is put on requests?

Wiring's part for credentials, where config and auth meet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, assert_never

from proxy.auth import aws, jwt_bearer, oauth2
from proxy.auth.basic import Basic
from proxy.auth.bearer import Bearer
from proxy.auth.endpoint import endpoint
from proxy.auth.github_app import GithubApp
from proxy.auth.granted import Grant, GrantedToken
from proxy.auth.header import Header
from proxy.auth.hmac import Hmac
from proxy.auth.keys import Keys
from proxy.auth.mtls import MutualTLS
from proxy.auth.none import NoCredential
from proxy.auth.query import Query
from proxy.auth.rotation import Kept, Shelf
from proxy.auth.several import Several
from proxy.auth.sigv4 import SigV4
from proxy.config import credentials, grants, signatures
from proxy.config.routes import UpstreamSettings
from proxy.core.failure import CredentialError
from proxy.core.message import Request
from proxy.core.ports import Chance, Clock, Expiring, Fetch, Injector
from proxy.core.routing import Origin, Route

Placed = (
    credentials.NoCredential
    | credentials.BearerCredential
    | credentials.BasicCredential
    | credentials.HeaderCredential
    | credentials.QueryCredential
    | credentials.MtlsCredential
)
Granted = grants.OAuth2Credential | grants.JwtBearerCredential | grants.GithubAppCredential


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What credentials need beside what is written: `salt` keys their identities.

    `rotated` keeps refresh tokens beyond a reload, where no file does.
    """

    salt: bytes
    clock: Clock
    chance: Chance
    fetch: Fetch
    rotated: dict[str, Kept]


def injector(upstream: UpstreamSettings, here: Surroundings) -> Injector:
    """The upstream's credential, or all of those that go out together."""
    auth = upstream.auth
    if isinstance(auth, tuple):
        return Several([_one(each, upstream, here) for each in auth], here.salt)
    return _one(auth, upstream, here)


def _one(auth: credentials.AnyCredential, upstream: UpstreamSettings, here: Surroundings) -> Injector:
    match auth:
        case signatures.SigV4Credential() | signatures.HmacCredential():
            return _signing(auth, here, most=upstream.retry.max_replay_body)
        case grants.OAuth2Credential() | grants.JwtBearerCredential() | grants.GithubAppCredential():
            return GrantedToken(_grant(auth, upstream, here), here.salt, here.clock, here.chance)
        case _:
            return _placed(auth, here)


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


def _signing(
    auth: signatures.SigV4Credential | signatures.HmacCredential, here: Surroundings, *, most: int
) -> Injector:
    match auth:
        case signatures.SigV4Credential():
            return SigV4(auth.service, auth.region, _source(auth, here), here.salt, here.clock, most=most)
        case signatures.HmacCredential():
            return Hmac(auth.key, auth.key_id, auth.recipe(), here.salt, here.clock, most=most)
        case _:
            assert_never(auth)


def _grant(auth: Granted, upstream: UpstreamSettings, here: Surroundings) -> Grant:
    match auth:
        case grants.OAuth2Credential():
            return _oauth2(auth, here)
        case grants.JwtBearerCredential():
            return _jwt_bearer(auth, here)
        case grants.GithubAppCredential():
            return _github_app(auth, upstream, here)
        case _:
            assert_never(auth)


def _source(auth: signatures.SigV4Credential, here: Surroundings) -> aws.Source:
    if auth.access_key_id is not None and auth.secret_access_key is not None:
        return aws.Written(auth.access_key_id, auth.secret_access_key, auth.session_token)
    return aws.Chain(auth.profile or "", here.clock, here.chance)


def _oauth2(auth: grants.OAuth2Credential, here: Surroundings) -> oauth2.OAuth2:
    key = None
    if auth.private_key is not None:
        key = oauth2.ClientKey(key=auth.private_key, algorithm=auth.algorithm, key_id=auth.private_key_id)
    client = oauth2.Client(client_id=auth.client_id, method=auth.method, secret=auth.client_secret, key=key)
    return oauth2.OAuth2(
        endpoint(auth.token_url),
        client,
        oauth2.Wish(scope=" ".join(auth.scope), audience=auth.audience or "", resource=tuple(auth.resource)),
        refresh=auth.refresh_token,
        shelf=None if auth.state_file is None else Shelf(auth.state_file),
        rotated=here.rotated,
        fetch=here.fetch,
        clock=here.clock,
    )


def _jwt_bearer(auth: grants.JwtBearerCredential, here: Surroundings) -> jwt_bearer.JwtBearer:
    by: jwt_bearer.Own | jwt_bearer.ServiceAccount
    if auth.service_account is not None:
        by = jwt_bearer.ServiceAccount(file=auth.service_account)
    else:
        # The three are there: the settings were checked.
        if auth.token_url is None or auth.issuer is None or auth.private_key is None:
            raise ValueError("jwt_bearer without its issuer")
        by = jwt_bearer.Own(
            place=endpoint(auth.token_url),
            issuer=auth.issuer,
            key=auth.private_key,
            algorithm=auth.algorithm,
            key_id=auth.private_key_id,
        )
    statement = jwt_bearer.Statement(
        subject=auth.subject or "",
        audience=auth.audience or "",
        scope=" ".join(auth.scope),
        lifetime=auth.lifetime,
        claims=auth.claims,
    )
    return jwt_bearer.JwtBearer(by, statement, fetch=here.fetch, clock=here.clock)


def _github_app(
    auth: grants.GithubAppCredential, upstream: UpstreamSettings, here: Surroundings
) -> GithubApp:
    api = (auth.api_url or upstream.base_url[0].url).rstrip("/")
    wish: Mapping[str, Any] = {"repositories": auth.repositories, "permissions": auth.permissions}
    return GithubApp(
        endpoint(f"{api}/app/installations/{auth.installation_id}/access_tokens"),
        auth.app_id,
        auth.private_key,
        {name: value for name, value in wish.items() if value},
        fetch=here.fetch,
        clock=here.clock,
    )


async def nowhere(request: Request, origin: Origin, *, within: float) -> NoReturn:
    """A core.ports.Fetch for what is only looked at. Raises CredentialError."""
    del request, origin, within
    raise CredentialError("Nothing is asked of a token endpoint here.")


def ends(routes: Sequence[Route]) -> dict[str, float]:
    """Seconds until each credential that has an end is of no use, by upstream."""
    ends = {one.name: one.injector.expires() for one in routes if isinstance(one.injector, Expiring)}
    return {name: left for name, left in ends.items() if left is not None}
