"""Which credential does a route put on its requests, as the operator writes it?

What a scheme does with these fields stands in `proxy/auth`; here they are only read and checked.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from proxy.config.fields import Credential, FieldName, ParameterName
from proxy.config.grants import GithubAppCredential, JwtBearerCredential, OAuth2Credential
from proxy.config.secrets import AnySecret, SecretOrNothing, Secrets
from proxy.config.signatures import HmacCredential, SigV4Credential

HERE = (
    *("none", "bearer", "basic", "header", "query"),
    *("oauth2", "sigv4", "hmac", "jwt_bearer", "github_app", "mtls"),
)


class NoCredential(Credential):
    """The caller's own credential passes, if it has one."""

    type: Literal["none"] = "none"


class BearerCredential(Credential):
    """Authorization: Bearer TOKEN (RFC 6750)."""

    type: Literal["bearer"]
    token: Secrets

    def secrets(self) -> tuple[AnySecret, ...]:
        return self.token


class BasicCredential(Credential):
    """Authorization: Basic (RFC 7617). Either half may be empty, as some APIs have it."""

    type: Literal["basic"]
    username: SecretOrNothing
    password: SecretOrNothing

    def secrets(self) -> tuple[AnySecret, ...]:
        return self.username, self.password


class HeaderCredential(Credential):
    """A header of the API's own choice, such as X-Api-Key."""

    type: Literal["header"]
    name: FieldName
    value: Secrets
    prefix: Annotated[str, Field(pattern=r"^[!-~]+ ?$")] | None = None

    def secrets(self) -> tuple[AnySecret, ...]:
        return self.value


class QueryCredential(Credential):
    """A parameter in the query, such as ?key=…"""

    type: Literal["query"]
    name: ParameterName
    value: Secrets

    def secrets(self) -> tuple[AnySecret, ...]:
        return self.value


class MtlsCredential(Credential):
    """Our certificate, shown in TLS; `ca` is the authority that signed the upstream's. Files, PEM."""

    type: Literal["mtls"]
    cert: Annotated[str, Field(min_length=1)]
    key: Annotated[str, Field(min_length=1)]
    ca: Annotated[str, Field(min_length=1)] | None = None


AnyCredential = (
    NoCredential
    | BearerCredential
    | BasicCredential
    | HeaderCredential
    | QueryCredential
    | OAuth2Credential
    | SigV4Credential
    | HmacCredential
    | JwtBearerCredential
    | GithubAppCredential
    | MtlsCredential
)


def _form(written: Any) -> str:
    return "several" if isinstance(written, list | tuple) else "one"


def _whole(several: tuple[AnyCredential, ...]) -> tuple[AnyCredential, ...]:
    kinds = [one.type for one in several]
    if "none" in kinds:
        raise ValueError("type none has no place among others; remove it")
    for kind in ("bearer", "basic", "sigv4", "mtls"):
        if kinds.count(kind) > 1:
            raise ValueError(f"type {kind} can be there once; for keys in turn write a list under its token")
    names = [one.name.lower() for one in several if isinstance(one, HeaderCredential)]
    if len(set(names)) != len(names):
        raise ValueError("two of them write the same header; remove one")
    return several


_One = Annotated[AnyCredential, Field(discriminator="type")]
_Several = Annotated[tuple[_One, ...], Field(min_length=1), AfterValidator(_whole)]
# One credential, or a list of those that go out together.
Auth = Annotated[
    Annotated[_One, Tag("one")] | Annotated[_Several, Tag("several")],
    Discriminator(_form),
]
AnyAuth = AnyCredential | tuple[AnyCredential, ...]


def secrets_of(auth: AnyAuth) -> tuple[AnySecret, ...]:
    """The secrets that a credential, or several, are made of."""
    if isinstance(auth, tuple):
        return tuple(secret for one in auth for secret in one.secrets())
    return auth.secrets()
