"""How does a client prove who it is with a key instead of a secret? With a signed JWT (RFC 7519, 7523).

PyJWT and cryptography sign; they are imported where a configuration first needs them, and in a thread,
since both importing and signing take their time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from proxy.core.failure import CredentialError

EXTRA = "leeward[jwt]"


async def signed(
    claims: Mapping[str, Any], key: str, algorithm: str, *, key_id: str | None, place: str
) -> str:
    """The compact JWT. `place` names the key in errors, which never quote it. Raises CredentialError."""
    return await asyncio.to_thread(_signed, claims, key, algorithm, key_id, place)


def _signed(claims: Mapping[str, Any], key: str, algorithm: str, key_id: str | None, place: str) -> str:
    try:
        import jwt  # noqa: PLC0415 - costs every start a fifth of a second otherwise
    except ImportError:
        raise CredentialError(f"Signing needs PyJWT: pip install '{EXTRA}'.") from None
    headers = {} if key_id is None else {"kid": key_id}
    try:
        token = jwt.encode(dict(claims), key, algorithm, headers=headers)
    except (jwt.PyJWTError, ValueError, TypeError, NotImplementedError) as error:
        # Not chained: the library's words may hold a part of the key.
        raise CredentialError(
            f"The key from {place} cannot sign with {algorithm}: {type(error).__name__}."
        ) from None
    return token


def members(text: str, place: str) -> dict[str, Any]:
    """A JSON object that is kept as a secret. Raises CredentialError."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise CredentialError(f"What {place} holds is no JSON.") from None
    if not isinstance(found, dict):
        raise CredentialError(f"What {place} holds is no JSON object.")
    return found
