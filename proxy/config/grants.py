"""How does an operator write a credential that is traded for a token?

The fields are called as the schemes' own documents call them: RFC 6749, 7523, 7591 and 8707, Google's
service accounts, GitHub's Apps. How a token is come by stands in `proxy/auth`.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from proxy.auth.assertion import EXTRA
from proxy.auth.endpoint import endpoint
from proxy.config.fields import Credential
from proxy.config.secrets import AnySecret, Secret, SecretText
from proxy.config.units import Duration

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
Text = Annotated[str, Field(min_length=1)]
_RESERVED_CLAIMS = frozenset({"iss", "aud", "iat", "exp", "sub", "scope"})
_LONGEST_STATEMENT = 86400.0  # seconds


def _url(written: Any) -> str:
    if not isinstance(written, str):
        raise ValueError("should be a URL such as https://auth.example.com/oauth/token")  # noqa: TRY004 - pydantic's rule
    endpoint(written)
    return written


def _words(written: Any) -> Any:
    return [written] if isinstance(written, str) else written


def _number(written: Any) -> Any:
    """An id, which is often written as a number."""
    return str(written) if isinstance(written, int) and not isinstance(written, bool) else written


_EITHER = {"anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "items": {"type": "string"}}]}
Url = Annotated[str, BeforeValidator(_url), WithJsonSchema({"type": "string", "pattern": "^https?://.+"})]
Words = Annotated[list[Text], BeforeValidator(_words), WithJsonSchema(_EITHER)]
Id = Annotated[
    str,
    BeforeValidator(_number),
    Field(pattern=r"^[A-Za-z0-9._-]{1,64}$"),
    WithJsonSchema({"type": ["string", "integer"]}),
]


def _signs() -> None:
    if find_spec("jwt") is None or find_spec("cryptography") is None:
        raise ValueError(
            f"signing with a private key needs PyJWT; pip install '{EXTRA}', in a checkout '.[jwt]'"
        )


class OAuth2Credential(Credential):
    """A token of an OAuth 2.0 server, for the client itself or, with a refresh token, for a user."""

    type: Literal["oauth2"]
    token_url: Url
    client_id: Secret
    client_secret: Secret | None = None
    token_endpoint_auth_method: (
        Literal["client_secret_basic", "client_secret_post", "private_key_jwt", "none"] | None
    ) = None
    private_key: SecretText | None = None
    private_key_id: Text | None = None
    algorithm: Algorithm = "RS256"
    scope: Words = Field(default_factory=list)
    audience: Text | None = None
    resource: Words = Field(default_factory=list)
    refresh_token: Secret | None = None
    state_file: Path | None = None

    @property
    def method(self) -> str:
        if self.token_endpoint_auth_method is not None:
            return self.token_endpoint_auth_method
        if self.private_key is not None:
            return "private_key_jwt"
        return "none" if self.client_secret is None else "client_secret_basic"

    @model_validator(mode="after")
    def _whole(self) -> OAuth2Credential:
        method = self.method
        if method.startswith("client_secret") and self.client_secret is None:
            raise ValueError(f"{method} needs client_secret; write client_secret: {{env: NAME}}")
        if method == "private_key_jwt":
            if self.private_key is None:
                raise ValueError("private_key_jwt needs private_key; write private_key: {file: PATH}")
            _signs()
        if method == "none" and self.refresh_token is None:
            raise ValueError("the client proves nothing about itself; write client_secret: {env: NAME}")
        if self.client_secret is not None and self.private_key is not None:
            raise ValueError("client_secret and private_key exclude each other; remove one of them")
        if self.state_file is not None and self.refresh_token is None:
            raise ValueError("state_file keeps rotated refresh tokens; write refresh_token, or remove it")
        return self

    def secrets(self) -> tuple[AnySecret, ...]:
        found = (self.client_id, self.client_secret, self.private_key, self.refresh_token)
        return tuple(secret for secret in found if secret is not None)


def _claims(written: dict[str, Any]) -> dict[str, Any]:
    for name in _RESERVED_CLAIMS & written.keys():
        raise ValueError(f"{name} has a field of its own or is written anew each time; remove it from claims")
    return written


class JwtBearerCredential(Credential):
    """A signed statement that is traded for a token: Google's service account, or RFC 7523."""

    type: Literal["jwt_bearer"]
    service_account: SecretText | None = None
    token_url: Url | None = None
    issuer: Text | None = None
    private_key: SecretText | None = None
    private_key_id: Text | None = None
    algorithm: Algorithm = "RS256"
    subject: Text | None = None
    audience: Text | None = None
    scope: Words = Field(default_factory=list)
    lifetime: Duration = 3600.0
    claims: Annotated[dict[str, str | int | bool], AfterValidator(_claims)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _whole(self) -> JwtBearerCredential:
        own = {"token_url": self.token_url, "issuer": self.issuer, "private_key": self.private_key}
        if self.service_account is not None:
            for name, value in own.items():
                if value is not None:
                    raise ValueError(f"the service account's file holds {name}; remove it")
        else:
            for name, value in own.items():
                if value is None:
                    raise ValueError(
                        f"{name} is missing; write it, or service_account: {{file: PATH}} for Google"
                    )
        if not 0 < self.lifetime <= _LONGEST_STATEMENT:
            raise ValueError("lifetime is above 0 and at most a day; write as in 1h")
        _signs()
        return self

    def secrets(self) -> tuple[AnySecret, ...]:
        return tuple(secret for secret in (self.service_account, self.private_key) if secret is not None)


class GithubAppCredential(Credential):
    """An installation token of a GitHub App. `api_url` is the upstream's first base_url unless written."""

    type: Literal["github_app"]
    app_id: Id
    installation_id: Id
    private_key: SecretText
    api_url: Url | None = None
    repositories: list[Text] = Field(default_factory=list)
    permissions: dict[Text, Literal["read", "write", "admin"]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _whole(self) -> GithubAppCredential:
        _signs()
        return self

    def secrets(self) -> tuple[AnySecret, ...]:
        return (self.private_key,)
