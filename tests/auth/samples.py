"""One of each credential with a secret that is easily found again, for tests that go over all of them."""

from __future__ import annotations

import json
from collections.abc import Iterator

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from proxy.auth import hmac, jwt_bearer, oauth2
from proxy.auth.aws import Chain, Written
from proxy.auth.basic import Basic
from proxy.auth.bearer import Bearer
from proxy.auth.endpoint import endpoint
from proxy.auth.github_app import GithubApp
from proxy.auth.granted import Grant, GrantedToken
from proxy.auth.header import Header
from proxy.auth.keys import Keys
from proxy.auth.mtls import MutualTLS
from proxy.auth.none import NoCredential
from proxy.auth.query import Query
from proxy.auth.several import Several
from proxy.auth.sigv4 import SigV4
from proxy.core.message import Headers, Request
from proxy.core.ports import Injector, Reply
from proxy.core.routing import Origin
from tests.auth.planted import CANARY, SALT, Hands, Planted

_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = _KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
PUBLIC = _KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
TOKEN_URL = "https://auth.example.com/oauth/token"
ACCOUNT = json.dumps(
    {
        "type": "service_account",
        "client_email": "robot@project.iam.gserviceaccount.com",
        "private_key": PEM,
        "private_key_id": "kid-1",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
)


class Provider:
    """A core.ports.Fetch: gives what it is told to, and remembers what it was asked."""

    def __init__(self, *replies: Reply | Exception) -> None:
        self.replies = list(replies)
        self.asked: list[tuple[Origin, Request]] = []

    async def __call__(self, request: Request, origin: Origin, *, within: float) -> Reply:
        assert within > 0
        self.asked.append((origin, request))
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply


def reply(said: object, *fields: tuple[str, str], status: int = 200) -> Reply:
    return Reply(status=status, headers=Headers.of(*fields), body=json.dumps(said).encode())


def token(value: str = CANARY, **said: object) -> Reply:
    return reply({"access_token": value, "token_type": "Bearer", "expires_in": 3600, **said})


def own() -> jwt_bearer.Own:
    return jwt_bearer.Own(
        place=endpoint(TOKEN_URL), issuer="me", key=Planted(PEM, "file key.pem"), key_id="k1"
    )


def grants() -> Iterator[Grant]:
    clock = Hands()
    client = oauth2.Client(client_id=Planted("me"), method="client_secret_basic", secret=Planted())
    yield oauth2.OAuth2(endpoint(TOKEN_URL), client, oauth2.Wish(), fetch=Provider(token()), clock=clock)
    statement = jwt_bearer.Statement()
    yield jwt_bearer.JwtBearer(own(), statement, fetch=Provider(token()), clock=clock)
    api = endpoint("https://api.github.com/app/installations/1/access_tokens")
    yield GithubApp(
        api, "77", Planted(PEM), {}, fetch=Provider(reply({"token": CANARY}, status=201)), clock=clock
    )


def injectors() -> Iterator[Injector]:
    """Each puts CANARY on a request, but for those that put nothing, or a signature, on it."""
    clock = Hands()
    yield NoCredential()
    yield Bearer(Planted(), SALT)
    yield Bearer(Keys([Planted(), Planted("another-key")], clock), SALT)
    yield Basic(Planted(), Planted(), SALT)
    yield Header("X-Api-Key", Planted(), SALT)
    yield Header("Authorization", Planted(), SALT, prefix="Token ")
    yield Query("key", Planted(), SALT)
    yield MutualTLS("/run/client.pem", SALT)
    yield SigV4("s3", "eu-west-1", Written(Planted("AKID"), Planted(), Planted("t0ken")), SALT, clock)
    recipe = hmac.Recipe(sign="{timestamp}{body}", headers={"X-Signature": "{key_id}:{signature}"})
    yield hmac.Hmac(Planted(), Planted("the-key-id"), recipe, SALT, clock)
    yield Several([Header("X-One", Planted(), SALT), Bearer(Planted(), SALT)], SALT)
    for grant in grants():
        yield GrantedToken(grant, SALT, clock, lambda: 0.5)


def chain() -> SigV4:
    """Of the environment; whoever uses it sets that."""
    clock = Hands()
    return SigV4("s3", "eu-west-1", Chain("", clock, lambda: 0.5), SALT, clock)
