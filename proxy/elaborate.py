"""How does a credential come to be that is signed with, or traded for a token?

Wiring's part for the schemes that need libraries, files or other servers; imported only for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from proxy.auth import aws, jwt_bearer, oauth2
from proxy.auth.endpoint import endpoint
from proxy.auth.github_app import GithubApp
from proxy.auth.granted import Grant, GrantedToken
from proxy.auth.hmac import Hmac
from proxy.auth.rotation import Shelf
from proxy.auth.sigv4 import SigV4
from proxy.auth.surroundings import Surroundings
from proxy.config import grants, signatures
from proxy.config.routes import UpstreamSettings
from proxy.core.ports import Injector

Signed = signatures.SigV4Credential | signatures.HmacCredential
Granted = grants.OAuth2Credential | grants.JwtBearerCredential | grants.GithubAppCredential


def elaborate(auth: Signed | Granted, upstream: UpstreamSettings, here: Surroundings) -> Injector:
    match auth:
        case signatures.SigV4Credential() | signatures.HmacCredential():
            return _signing(auth, here, most=upstream.retry.max_replay_body)
        case grants.OAuth2Credential() | grants.JwtBearerCredential() | grants.GithubAppCredential():
            return GrantedToken(_grant(auth, upstream, here), here.salt, here.clock, here.chance)
        case _:
            assert_never(auth)


def _signing(auth: Signed, here: Surroundings, *, most: int) -> Injector:
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
