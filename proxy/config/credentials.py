"""Which credential does a route put on its requests, as the operator writes it?

What a scheme does with these fields stands in `proxy/auth`; here they are only read and checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from proxy.config.fields import Credential, FieldName, ParameterName
from proxy.config.later import Later
from proxy.config.secrets import AnySecret, SecretOrNothing, Secrets

if TYPE_CHECKING:
    from proxy.config.schemes import AnyAuth

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


_PLACED: dict[str, type[Credential]] = {
    "none": NoCredential,
    "bearer": BearerCredential,
    "basic": BasicCredential,
    "header": HeaderCredential,
    "query": QueryCredential,
    "mtls": MtlsCredential,
}


def _all() -> Any:
    from proxy.config.schemes import AllAuth  # noqa: PLC0415 - only who writes such a credential pays for it

    return AllAuth


def _read(written: Any) -> Any:
    kind = written.get("type") if isinstance(written, Mapping) else None
    model = _PLACED.get(kind) if isinstance(kind, str) else None
    return _LATER.validate(written) if model is None else model.model_validate(written)


_LATER = Later(_all, _read)
if TYPE_CHECKING:
    Auth = AnyAuth
else:
    Auth = Annotated[Any, _LATER]


def secrets_of(auth: AnyAuth) -> tuple[AnySecret, ...]:
    """The secrets that a credential, or several, are made of."""
    if isinstance(auth, tuple):
        return tuple(secret for one in auth for secret in one.secrets())
    return auth.secrets()
