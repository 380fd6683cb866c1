"""Which credentials are there, and which of them go out together?

All of them: what a single usual one needs stands in `proxy/config/credentials.py`, which imports this where
something else is written.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, Field, Tag

from proxy.config.credentials import (
    BasicCredential,
    BearerCredential,
    HeaderCredential,
    MtlsCredential,
    NoCredential,
    QueryCredential,
)
from proxy.config.grants import GithubAppCredential, JwtBearerCredential, OAuth2Credential
from proxy.config.signatures import HmacCredential, SigV4Credential

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
AllAuth = Annotated[
    Annotated[_One, Tag("one")] | Annotated[_Several, Tag("several")],
    Discriminator(_form),
]
AnyAuth = AnyCredential | tuple[AnyCredential, ...]
