from __future__ import annotations

import builtins
from typing import Any

import jwt
import pytest

from proxy.auth.assertion import members, signed
from proxy.core.failure import CredentialError
from tests.auth.samples import PEM, PUBLIC


async def test_a_signed_statement() -> None:
    text = await signed({"a": 1}, PEM, "RS256", key_id="k", place="file x")
    assert jwt.decode(text, PUBLIC, ["RS256"]) == {"a": 1}
    assert jwt.get_unverified_header(text)["kid"] == "k"
    assert "kid" not in jwt.get_unverified_header(await signed({}, PEM, "RS256", key_id=None, place="x"))


@pytest.mark.parametrize(
    ("key", "algorithm"), [("c4nary", "RS256"), (PEM, "ES256"), (PEM, "XX"), ("", "RS256")]
)
async def test_a_key_that_does_not_fit(key: str, algorithm: str) -> None:
    with pytest.raises(CredentialError, match=f"The key from file x cannot sign with {algorithm}") as told:
        await signed({}, key, algorithm, key_id=None, place="file x")
    assert "c4nary" not in str(told.value)
    assert told.value.__cause__ is None


async def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "jwt":
            raise ImportError
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(CredentialError, match=r"pip install 'leeward\[jwt\]'"):
        await signed({}, PEM, "RS256", key_id=None, place="file x")


def test_members_of_a_kept_object() -> None:
    assert members('{"a": 1}', "file x") == {"a": 1}
    for text in ("c4nary", "[]", "[" * 100000):
        with pytest.raises(CredentialError, match="What file x holds is no JSON") as told:
            members(text, "file x")
        assert "c4nary" not in str(told.value)
