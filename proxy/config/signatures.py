"""How does an operator write a credential that signs each request: AWS's, or one by an API's own rules?

What is signed, and how, stands in `proxy/auth/sigv4` and `proxy/auth/hmac`; here it is read and checked.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from proxy.auth import hmac
from proxy.auth.aws import EXTRA
from proxy.config.fields import Credential, FieldName, ParameterName
from proxy.config.secrets import AnySecret, Secret

Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]


class SigV4Credential(Credential):
    """AWS Signature Version 4. Without keys, botocore's chain finds them: environment, files, roles."""

    type: Literal["sigv4"]
    service: Word
    region: Word
    access_key_id: Secret | None = None
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    profile: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _whole(self) -> SigV4Credential:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key belong together; write both or neither")
        if self.access_key_id is None:
            if self.session_token is not None:
                raise ValueError(
                    "session_token belongs to access_key_id and secret_access_key; write all three"
                )
            if find_spec("botocore") is None:
                raise ValueError(
                    f"without access_key_id it needs botocore; pip install '{EXTRA}', in a checkout '.[aws]'"
                )
        elif self.profile is not None:
            raise ValueError("profile and access_key_id exclude each other; remove one of them")
        return self

    def secrets(self) -> tuple[AnySecret, ...]:
        return tuple(
            secret
            for secret in (self.access_key_id, self.secret_access_key, self.session_token)
            if secret is not None
        )


def _signed_text(written: str) -> str:
    return _template(written, set(hmac.PARTS) - {"signature"})


def _sent_text(written: str) -> str:
    if not written.isprintable():
        raise ValueError("what is sent is one printable line; write it without line breaks")
    return _template(written, set(hmac.PARTS) - {"body", "target", "path", "query", "url"})


def _template(written: str, known: set[str]) -> str:
    strange = sorted(hmac.parts_of(written) - known)
    if strange:
        raise ValueError(
            f"{{{strange[0]}}} is no part of a request here; known are {', '.join(sorted(known))}"
        )
    return written


Signed = Annotated[str, Field(min_length=1), AfterValidator(_signed_text)]
Sent = Annotated[str, Field(min_length=1), AfterValidator(_sent_text)]


class HmacCredential(Credential):
    """A keyed hash over parts of the request, as the API's documentation describes it.

    `sign`, and the values of `headers` and `query`, hold parts in braces: `{timestamp}{method}{path}{body}`.
    """

    type: Literal["hmac"]
    key: Secret
    key_encoding: Literal["utf-8", "hex", "base64"] = "utf-8"
    key_id: Secret | None = None
    algorithm: Literal["sha1", "sha256", "sha384", "sha512"] = "sha256"
    encoding: Literal["hex", "base64", "base64url"] = "hex"
    sign: Signed
    headers: dict[FieldName, Sent] = Field(default_factory=dict)
    query: dict[ParameterName, Sent] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _whole(self) -> HmacCredential:
        sent = [*self.headers.values(), *self.query.values()]
        named = set[str]().union(*map(hmac.parts_of, sent))
        if "signature" not in named:
            raise ValueError("the signature is sent nowhere; write headers: {X-Signature: '{signature}'}")
        if self.key_id is None and "key_id" in named | hmac.parts_of(self.sign):
            raise ValueError("{key_id} is used and key_id is missing; write key_id: with its value")
        return self

    def secrets(self) -> tuple[AnySecret, ...]:
        return (self.key,) if self.key_id is None else (self.key, self.key_id)

    def recipe(self) -> hmac.Recipe:
        return hmac.Recipe(
            sign=self.sign,
            algorithm=self.algorithm,
            key_encoding=self.key_encoding,
            encoding=self.encoding,
            headers=dict(self.headers),
            query=dict(self.query),
        )
