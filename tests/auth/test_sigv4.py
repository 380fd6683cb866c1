from __future__ import annotations

import datetime as dt
import pickle
import random
from urllib.parse import quote

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from proxy.auth.aws import Credentials, Written
from proxy.auth.sigv4 import SigV4
from proxy.core.failure import BadRequestError, CredentialError, PayloadTooLargeError
from proxy.core.message import Headers, Request, Whole
from proxy.core.ports import Expiring, Injector, Renewable
from proxy.core.routing import Origin
from tests.auth.planted import CANARY, ORIGIN, SALT, Hands, Planted, answered, request
from tests.upstream.conftest import Pieces

PLAIN = Origin(scheme="http", host="127.0.0.1", port=9000)
S3 = Origin(scheme="https", host="bucket.s3.eu-west-1.amazonaws.com", port=443)
STAMP = "20150830T123600Z"


def sigv4(
    service: str = "sqs", *, secret: str = CANARY, token: str | None = None, clock: Hands | None = None
) -> SigV4:
    source = Written(
        Planted("AKIDEXAMPLE", "env KEY"),
        Planted(secret, "env SECRET"),
        None if token is None else Planted(token, "env TOKEN"),
    )
    return SigV4(service, "eu-west-1", source, SALT, clock or Hands(), most=1000)


async def signed(injector: SigV4, asked: Request, origin: Origin = ORIGIN) -> dict[str, str]:
    return dict((await injector.inject(asked, origin)).headers)


def botos(asked: Request, origin: Origin, service: str, secret: str, token: str | None) -> dict[str, str]:
    """What botocore makes of the request as it goes out; its clock stands still."""
    made = AWSRequest(
        method=asked.method,
        url=origin.url + asked.target,
        headers={name: value for name, value in asked.headers if name in CARRIED},
        data=asked.body.data if isinstance(asked.body, Whole) else b"",
    )
    signer = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
    signer(BotoCredentials("AKIDEXAMPLE", secret, token), service, "eu-west-1").add_auth(made)
    return {name.lower(): value for name, value in made.headers.items()}


NAMES = ["Content-Type", "X-Amz-Target", "x-amz-META-Odd", "X-Thing", "Range", "If-None-Match", "content-md5"]
CARRIED = {name.lower() for name in NAMES}
VALUES = ["a", "  spaced   out ", 'quo"ted', "ünï".encode().decode("latin-1"), "a,b, c", "x=1; y=2", ""]
SPICE = [
    "a",
    "B",
    "7",
    "-",
    "_",
    ".",
    "~",
    "%20",
    "%2F",
    "%2f",
    "%C3%A9",
    "(",
    ")",
    "!",
    "'",
    "*",
    "+",
    "@",
    ":",
    "$",
    ",",
]


def odd(dice: random.Random) -> Request:
    segments = ["".join(dice.choices(SPICE, k=dice.randrange(6))) for _ in range(dice.randrange(5))]
    path = "/" + "/".join(segment for segment in segments if segment.strip(".") or not segment)
    pairs = []
    for _ in range(dice.randrange(5)):
        name, value = ("".join(dice.choices([*SPICE, "é", "%zz"], k=dice.randrange(5))) for _ in range(2))
        pairs.append(dice.choice([f"{name}={value}", name, f"{name}="]))
    query = "&".join(pairs).encode().decode("latin-1")
    fields = [(name, dice.choice(VALUES)) for name in dice.sample(NAMES, dice.randrange(len(NAMES)))]
    body = dice.randbytes(dice.choice([0, 0, 1, 50, 900]))
    return Request(
        method=dice.choice(["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD"]),
        target=path + (f"?{query}" if query else ""),
        headers=Headers.of(*fields),
        body=Whole(body),
    )


@pytest.mark.parametrize("service", ["s3", "execute-api"])
async def test_it_signs_as_botocore_does(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """200 odd requests for each: what is sent is signed as botocore signs what is sent."""
    moment = dt.datetime(2015, 8, 30, 12, 36)  # noqa: DTZ001 - as botocore has it
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: moment)
    dice = random.Random(20150830)
    for number in range(200):
        token = dice.choice([None, "t0ken+/=="])
        secret = "".join(dice.choices("abcXYZ0189+/", k=40))
        origin = dice.choice(
            [ORIGIN, PLAIN, S3, Origin(scheme="https", host="api.test", port=8443, path="/stage")]
        )
        asked = odd(dice)
        sent = await sigv4(service, secret=secret, token=token).inject(asked, origin)
        theirs = botos(sent, origin, service, secret, token)
        ours = dict(sent.headers)
        names = {"authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"}
        assert {n: ours[n] for n in names & ours.keys()} == {n: theirs[n] for n in names & theirs.keys()}, (
            number,
            sent.target,
        )


async def test_each_attempt_is_signed_for_its_moment() -> None:
    clock = Hands()
    injector = sigv4(clock=clock)
    first = await signed(injector, request())
    assert first["x-amz-date"] == STAMP
    clock.time += 86400
    second = await signed(injector, request())
    assert second["x-amz-date"] == "20150831T123600Z"
    assert "/20150831/eu-west-1/sqs/" in second["authorization"]
    assert first["authorization"] != second["authorization"]


async def test_the_callers_own_signature_goes_wherever_it_stands() -> None:
    theirs = request(
        ("Authorization", "AWS4-HMAC-SHA256 Credential=THEIRS/x"),
        ("X-Amz-Date", "20000101T000000Z"),
        ("x_amz_security_token", "theirs"),
        ("X-Thing", "kept"),
        target="/q?X-Amz-Signature=theirs&a=1&X-Amz-Credential=theirs&x-amz-expires=5",
    )
    sent = await sigv4().inject(theirs, ORIGIN)
    assert sent.target == "/q?a=1"
    assert [name for name, _ in sent.headers] == ["x-thing", "x-amz-date", "authorization"]
    assert "theirs" not in str(list(sent.headers)).lower()


@pytest.mark.parametrize(
    ("service", "origin", "body", "expected"),
    [
        ("s3", S3, Pieces(b"ab", b"cd", length=4), "UNSIGNED-PAYLOAD"),
        (
            *("s3", PLAIN, Pieces(b"ab", b"cd", length=4)),
            "88d4266fd4e6338d13b845fcf289579d209c897823b9217da3e161936f031589",
        ),
        (
            *("aoss", S3, Pieces(b"ab", b"cd")),
            "88d4266fd4e6338d13b845fcf289579d209c897823b9217da3e161936f031589",
        ),
        ("sqs", S3, Whole(b"x"), None),
    ],
)
async def test_a_body_is_hashed_or_may_be_left_out(
    service: str, origin: Origin, body: Pieces | Whole, expected: str | None
) -> None:
    asked = Request(method="PUT", target="/k", headers=Headers(), body=body)
    assert (await signed(sigv4(service), asked, origin)).get("x-amz-content-sha256") == expected


@pytest.mark.parametrize("length", [None, 5000])
async def test_a_long_body_that_must_be_signed_is_refused(length: int | None) -> None:
    body = Pieces(*[b"x" * 100] * 50, length=length)
    asked = Request(method="POST", target="/", headers=Headers(), body=body)
    with pytest.raises(PayloadTooLargeError, match="max_replay_body"):
        await sigv4("sqs").inject(asked, ORIGIN)
    assert body.pulled <= 11


async def test_what_the_caller_says_of_the_body_is_taken() -> None:
    for word in ("UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "ab" * 32):
        sent = await sigv4("s3").inject(request(("x-amz-content-sha256", word)), S3)
        assert sent.headers.all("x-amz-content-sha256") == [word]
    with pytest.raises(BadRequestError, match="own key"):
        await sigv4("s3").inject(request(("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")), S3)


async def test_a_clock_that_is_off_is_set_by_the_answer() -> None:
    clock = Hands()
    clock.skew = -3600
    injector = sigv4(clock=clock)
    sent = await injector.inject(request(), ORIGIN)
    assert sent.headers.get("x-amz-date") == "20150830T113600Z"
    late = answered(403, ("Date", "Sun, 30 Aug 2015 12:36:10 GMT"))
    again = await injector.another(sent, late, request(), ORIGIN)
    assert again is not None
    assert again.headers.get("x-amz-date") == "20150830T123610Z"
    assert await injector.another(again, late, request(), ORIGIN) is None, "it is set already"
    assert (await signed(injector, request()))["x-amz-date"] == "20150830T123610Z"


async def test_a_key_that_changed_meanwhile_is_used_for_the_replay() -> None:
    key = Planted("AKIDOLD")
    injector = SigV4("sqs", "us-east-1", Written(key, Planted(), None), SALT, Hands())
    sent = await injector.inject(request(), ORIGIN)
    assert await injector.another(sent, answered(403), request(), ORIGIN) is None
    key.value = "AKIDNEW"
    again = await injector.another(sent, answered(403), request(), ORIGIN)
    assert again is not None
    assert "Credential=AKIDNEW/" in (again.headers.get("authorization") or "")
    assert await injector.another(sent, answered(500), request(), ORIGIN) is None
    key.value = None
    assert await injector.another(sent, answered(403), request(), ORIGIN) is None


async def test_its_identity_is_the_keys() -> None:
    assert sigv4().identity() == sigv4(secret="another", token="x").identity()
    assert sigv4().identity() != sigv4("s3").identity()
    with pytest.raises(CredentialError):
        SigV4("s3", "x", Written(Planted(None), Planted(), None), SALT, Hands()).identity()


async def test_it_hides_its_secret() -> None:
    injector: Injector = sigv4(token="t0ken-canary")
    sent = await injector.inject(request(), ORIGIN)
    assert injector.describe() == "sigv4 for sqs in eu-west-1, key from env KEY"
    for text in (injector.describe(), repr(injector), injector.identity(), repr(sent)):
        assert CANARY not in text
        assert "t0ken" not in text
    assert injector.mask(f"{CANARY} {quote(CANARY)} t0ken-canary") == "*** *** ***"
    assert CANARY not in repr(Credentials(access_key_id="A", secret_access_key=CANARY, session_token=CANARY))
    assert isinstance(injector, Renewable)
    assert isinstance(injector, Expiring)
    assert injector.expires() is None
    await injector.close()
    with pytest.raises(TypeError):
        pickle.dumps(injector)
