"""Which credential does a route put on its requests, as the operator writes it?

What a scheme does with these fields stands in `proxy/auth`; here they are only read and checked.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from proxy.config.secrets import AnySecret, Secret, SecretOrNothing

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LATER = ("oauth2", "sigv4", "hmac", "jwt_bearer", "github_app", "mtls")
HERE = ("none", "bearer", "basic", "header", "query")
# Fields that frame a message, route it or belong to one hop: never free to be set.
RESERVED = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def field_name(written: str) -> str:
    """A header's name (RFC 9110 §5.1) that may be set. Raises ValueError."""
    if not _TOKEN.fullmatch(written):
        raise ValueError("is not a header's name, which is letters, digits and hyphens, as in X-Api-Key")
    if written.lower() in RESERVED:
        raise ValueError(f"{written} is written by the proxy itself for each hop; choose another header")
    return written


FieldName = Annotated[str, AfterValidator(field_name)]


class _Credential(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class NoCredential(_Credential):
    """The caller's own credential passes, if it has one."""

    type: Literal["none"] = "none"


class BearerCredential(_Credential):
    """Authorization: Bearer TOKEN (RFC 6750)."""

    type: Literal["bearer"]
    token: Secret


class BasicCredential(_Credential):
    """Authorization: Basic (RFC 7617). Either half may be empty, as some APIs have it."""

    type: Literal["basic"]
    username: SecretOrNothing
    password: SecretOrNothing


class HeaderCredential(_Credential):
    """A header of the API's own choice, such as X-Api-Key."""

    type: Literal["header"]
    name: FieldName
    value: Secret
    prefix: Annotated[str, Field(pattern=r"^[!-~]+ ?$")] | None = None


class QueryCredential(_Credential):
    """A parameter in the query, such as ?key=…"""

    type: Literal["query"]
    name: Annotated[str, Field(min_length=1, pattern=r"^[^\x00-\x20#&=\x7f]+$")]
    value: Secret


def _known_type(written: Any) -> Any:
    kind = written.get("type") if isinstance(written, dict) else None
    if isinstance(kind, str) and kind in _LATER:
        raise ValueError(f"type {kind} is not in this version; it has {', '.join(HERE)}")
    return written


AnyCredential = NoCredential | BearerCredential | BasicCredential | HeaderCredential | QueryCredential
Auth = Annotated[Annotated[AnyCredential, Field(discriminator="type")], BeforeValidator(_known_type)]


def secrets_of(credential: AnyCredential) -> tuple[AnySecret, ...]:
    """The secrets that a credential is made of."""
    match credential:
        case NoCredential():
            return ()
        case BearerCredential():
            return (credential.token,)
        case BasicCredential():
            return (credential.username, credential.password)
        case HeaderCredential() | QueryCredential():
            return (credential.value,)
