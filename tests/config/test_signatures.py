from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from proxy.config import signatures
from proxy.config.signatures import HmacCredential, SigV4Credential

AWS = {"type": "sigv4", "service": "s3", "region": "eu-west-1"}
KEYS = {"access_key_id": "canary", "secret_access_key": "canary"}
HMAC = {"type": "hmac", "key": "canary", "sign": "{method}{path}", "headers": {"X-Sign": "{signature}"}}


def test_without_keys_the_chain_finds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SigV4Credential.model_validate(AWS).secrets() == ()
    monkeypatch.setattr(signatures, "find_spec", lambda name: None)
    assert len(SigV4Credential.model_validate({**AWS, **KEYS}).secrets()) == 2
    with pytest.raises(ValidationError, match=r"needs botocore; pip install 'leeward\[aws\]'"):
        SigV4Credential.model_validate(AWS)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({**AWS, "access_key_id": "canary"}, "belong together; write both or neither"),
        ({**AWS, "session_token": "canary"}, "write all three"),
        ({**AWS, **KEYS, "profile": "x"}, "exclude each other"),
        ({**AWS, "service": "a/b"}, "pattern"),
        ({"type": "sigv4", "service": "s3"}, "region"),
    ],
)
def test_what_is_no_signature_of_aws(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as told:
        SigV4Credential.model_validate(given)
    assert "canary" not in str(told.value.errors(include_input=False))


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"headers": {}}, "sent nowhere; write headers"),
        ({"sign": "{verb}"}, "{verb} is no part of a request here; known are body, body_md5"),
        ({"sign": "{signature}"}, "{signature} is no part"),
        ({"headers": {"X-Sign": "{signature}{body}"}}, "{body} is no part"),
        ({"headers": {"X-Sign": "{signature}\n"}}, "one printable line"),
        ({"headers": {"Host": "{signature}"}}, "choose another header"),
        ({"headers": {"X-Sign": "{key_id}:{signature}"}}, "key_id is missing"),
        ({"algorithm": "md5"}, "sha256"),
        ({"sign": ""}, "at least 1"),
    ],
)
def test_what_is_no_recipe(over: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as told:
        HmacCredential.model_validate({**HMAC, **over})
    assert "canary" not in str(told.value.errors(include_input=False))


def test_a_recipe_as_it_is_written() -> None:
    given = {**HMAC, "key_id": "me", "query": {"sig": "{key_id}.{signature}"}, "encoding": "base64"}
    found = HmacCredential.model_validate(given)
    assert found.recipe().query == {"sig": "{key_id}.{signature}"}
    assert (found.recipe().sign, found.recipe().encoding, len(found.secrets())) == (
        "{method}{path}",
        "base64",
        2,
    )
