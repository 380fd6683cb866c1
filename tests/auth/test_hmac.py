from __future__ import annotations

import base64
import hashlib
import hmac as stdlib
import pickle

import pytest

from proxy.auth.hmac import ALGORITHMS, ENCODINGS, KEY_ENCODINGS, PARTS, Hmac, Recipe, parts_of
from proxy.core.failure import CredentialError, PayloadTooLargeError
from proxy.core.message import Headers, Request
from proxy.core.ports import Injector
from proxy.core.routing import Origin
from tests.auth.planted import CANARY, ORIGIN, SALT, Hands, Planted, request
from tests.upstream.conftest import Pieces

BASED = Origin(scheme="https", host="api.example.com", port=8443, path="/v2")
SENT = {"X-Sign": "{signature}"}


def hmac(recipe: Recipe, key: str = CANARY, key_id: str | None = "the-id") -> Hmac:
    return Hmac(
        Planted(key, "env KEY"),
        None if key_id is None else Planted(key_id, "env ID"),
        recipe,
        SALT,
        Hands(),
        most=1000,
    )


def expected(text: bytes, algorithm: str = "sha256", key: bytes = CANARY.encode()) -> bytes:
    return stdlib.new(key, text, algorithm).digest()


async def test_as_coinbase_has_it() -> None:
    """Base64 key and signature over time, method, target and body."""
    key = base64.b64encode(b"the secret").decode()
    recipe = Recipe(
        sign="{timestamp}{method}{target}{body}",
        key_encoding="base64",
        encoding="base64",
        headers={"CB-KEY": "{key_id}", "CB-TIME": "{timestamp}", "CB-SIGN": "{signature}"},
    )
    asked = request(
        ("cb-sign", "callers"), ("CB_SIGN", "callers"), method="POST", body=b"{}", target="/o?a=1"
    )
    injector: Injector = hmac(recipe, key)
    sent = await injector.inject(asked, BASED)
    signature = expected(b"1440938160POST/v2/o?a=1{}", key=b"the secret")
    assert list(sent.headers) == [
        ("cb-key", "the-id"),
        ("cb-time", "1440938160"),
        ("cb-sign", base64.b64encode(signature).decode()),
    ]
    assert injector.replaced == {"authorization", "cb-key", "cb-time", "cb-sign"}
    assert sent.target == "/o?a=1"


async def test_as_binance_has_it() -> None:
    """The query is signed, with the time that was put into it, and the signature comes last."""
    recipe = Recipe(
        sign="{query}{body}",
        headers={"X-MBX-APIKEY": "{key_id}"},
        query={"signature": "{signature}", "timestamp": "{timestamp_ms}"},
    )
    sent = await hmac(recipe).inject(request(target="/order?symbol=X&signature=callers"), ORIGIN)
    query = b"symbol=X&timestamp=1440938160000"
    assert sent.target == f"/order?{query.decode()}&signature={expected(query).hex()}"


async def test_as_azure_has_it() -> None:
    how = "HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature="
    recipe = Recipe(
        sign="{method}\n{target}\n{date};{host};{body_sha256_base64}",
        encoding="base64",
        headers={
            "x-ms-date": "{date}",
            "x-ms-content-sha256": "{body_sha256_base64}",
            "Authorization": how + "{signature}",
        },
    )
    sent = await hmac(recipe).inject(request(("AUTHORIZATION", "callers"), target="/x"), ORIGIN)
    content = base64.b64encode(hashlib.sha256(b"").digest()).decode()
    date = "Sun, 30 Aug 2015 12:36:00 GMT"
    signature = base64.b64encode(expected(f"GET\n/x\n{date};api.example.com;{content}".encode())).decode()
    assert dict(sent.headers) == {
        "x-ms-date": date,
        "x-ms-content-sha256": content,
        "authorization": how + signature,
    }


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("method", b"PUT"),
        ("path", b"/v2/a%20\xe9"),
        ("query", b"b=c"),
        ("target", b"/v2/a%20\xe9?b=c"),
        ("host", b"api.example.com:8443"),
        ("url", b"https://api.example.com:8443/v2/a%20\xe9?b=c"),
        ("body", b"\x00\xffbody"),
        ("body_md5", base64.b64encode(hashlib.md5(b"\x00\xffbody").digest())),
        ("body_sha256", hashlib.sha256(b"\x00\xffbody").hexdigest().encode()),
        ("body_sha256_base64", base64.b64encode(hashlib.sha256(b"\x00\xffbody").digest())),
        ("body_sha512", hashlib.sha512(b"\x00\xffbody").hexdigest().encode()),
        ("timestamp", b"1440938160"),
        ("timestamp_ms", b"1440938160000"),
        ("date", b"Sun, 30 Aug 2015 12:36:00 GMT"),
        ("iso_date", b"2015-08-30T12:36:00Z"),
        ("key_id", b"the-id"),
    ],
)
async def test_each_part(part: str, value: bytes) -> None:
    asked = request(method="PUT", body=b"\x00\xffbody", target="/a%20\xe9?b=c")
    sent = await hmac(Recipe(sign=f"<{{{part}}}>", headers=SENT)).inject(asked, BASED)
    assert sent.headers.get("x-sign") == expected(b"<" + value + b">").hex()


async def test_a_nonce_is_used_once_and_is_the_one_that_is_signed() -> None:
    injector = hmac(Recipe(sign="{nonce}", headers={"X-Nonce": "{nonce}", "X-Sign": "{signature}"}))
    seen = set()
    for _ in range(3):
        sent = await injector.inject(request(), ORIGIN)
        nonce = sent.headers.get("x-nonce") or ""
        assert sent.headers.get("x-sign") == expected(nonce.encode()).hex()
        seen.add(nonce)
    assert len(seen) == 3


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_algorithms_and_encodings(algorithm: str, encoding: str) -> None:
    recipe = Recipe(sign="é", algorithm=algorithm, encoding=encoding, headers=SENT)
    sent = (await hmac(recipe).inject(request(), ORIGIN)).headers.get("x-sign")
    digest = expected("é".encode(), algorithm)
    forms = {
        "hex": digest.hex(),
        "base64": base64.b64encode(digest).decode(),
        "base64url": base64.urlsafe_b64encode(digest).decode().rstrip("="),
    }
    assert sent == forms[encoding]


@pytest.mark.parametrize(("encoding", "key"), [("hex", "6b6579"), ("base64", "a2V5"), ("utf-8", "key")])
async def test_how_the_key_is_written(encoding: str, key: str) -> None:
    assert encoding in KEY_ENCODINGS
    injector = hmac(Recipe(sign="x", key_encoding=encoding, headers=SENT), key)
    assert (await injector.inject(request(), ORIGIN)).headers.get("x-sign") == expected(
        b"x", key=b"key"
    ).hex()


@pytest.mark.parametrize("encoding", ["hex", "base64"])
async def test_a_key_in_another_writing_is_told_without_itself(encoding: str) -> None:
    injector = hmac(Recipe(sign="x", key_encoding=encoding, headers=SENT), "c4nary!")
    with pytest.raises(CredentialError, match=f"The key from env KEY is not written in {encoding}") as told:
        await injector.inject(request(), ORIGIN)
    assert "c4nary" not in str(told.value)
    with pytest.raises(CredentialError):
        injector.identity()
    assert injector.mask("c4nary!") == "***"


async def test_a_stream_is_read_where_it_is_signed_and_left_alone_where_not() -> None:
    def asked() -> tuple[Pieces, Request]:
        body = Pieces(b"ab", b"cd")
        return body, Request(method="POST", target="/", headers=Headers(), body=body)

    body, stream = asked()
    sent = await hmac(Recipe(sign="{body}", headers=SENT)).inject(stream, ORIGIN)
    assert sent.headers.get("x-sign") == expected(b"abcd").hex()
    assert body.pulled == 2
    body, stream = asked()
    await hmac(Recipe(sign="{method}", headers=SENT)).inject(stream, ORIGIN)
    assert body.pulled == 0


@pytest.mark.parametrize("length", [None, 5000])
async def test_a_body_too_long_to_be_signed_is_refused(length: int | None) -> None:
    body = Pieces(*[b"x" * 100] * 50, length=length)
    asked = Request(method="POST", target="/", headers=Headers(), body=body)
    with pytest.raises(PayloadTooLargeError):
        await hmac(Recipe(sign="{body_sha256}", headers=SENT)).inject(asked, ORIGIN)
    assert body.pulled <= 11


def test_the_parts_of_a_template() -> None:
    assert parts_of("{method}{Method}{ body }{{nonce}}") == {"method", "nonce"}
    assert len(set(PARTS)) == len(PARTS)


async def test_it_hides_its_secret() -> None:
    injector = hmac(Recipe(sign="x", headers=SENT, query={"s": "{signature}"}))
    assert injector.describe() == "hmac sha256 in X-Sign, s, key from env KEY"
    sent = await injector.inject(request(), ORIGIN)
    for text in (
        injector.describe(),
        repr(injector),
        injector.identity(),
        repr(sent),
        str(list(sent.headers)),
    ):
        assert CANARY not in text
    assert injector.identity() != hmac(Recipe(sign="x", headers=SENT), key_id="other").identity()
    assert injector.mask(CANARY) == "***"
    with pytest.raises(TypeError):
        pickle.dumps(injector)
