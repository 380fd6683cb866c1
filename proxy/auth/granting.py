"""What does a token endpoint's answer give? (RFC 6749 §5)

The law: only a token that can be sent as it stands is taken; of anything else no more is told than the
status and the provider's own error word, for the rest of the answer may hold what was asked with.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from proxy.auth.endpoint import Endpoint
from proxy.core.expression import expression
from proxy.core.failure import CredentialError
from proxy.core.message import Headers
from proxy.core.ports import Fetch, Reply
from proxy.core.resilience import wait
from proxy.core.value import dataclass

Form = Sequence[tuple[str, str]]

_TOKEN = expression(r"[\x21-\x7e]{1,16384}", re.ASCII)
_WORD = expression(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", re.ASCII)  # RFC 6749 §5.2 `error`, as they are in fact
_FIRST_SUCCESS, _FIRST_REDIRECT = 200, 300
_LONGEST = 366 * 86400.0  # seconds; a longer life is none that anybody means


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What came: `lifetime` in seconds, None = not told; `refresh` a new refresh token, if there is one."""

    token: str
    lifetime: float | None
    refresh: str | None = None

    def __repr__(self) -> str:
        return "Granted()"


async def ask(fetch: Fetch, place: Endpoint, form: Form, fields: Headers, *, wall: float) -> Granted:
    """Posts a form to a token endpoint. Raises CredentialError."""
    headers = fields.plus(("Content-Type", "application/x-www-form-urlencoded"))
    reply = await place.ask(fetch, "POST", headers, urlencode(form).encode())
    return granted(reply, place, wall)


def granted(reply: Reply, place: Endpoint, wall: float) -> Granted:
    """Raises CredentialError."""
    said = document(reply, place, wall)
    token = said.get("access_token")
    if not isinstance(token, str) or _TOKEN.fullmatch(token) is None:
        raise CredentialError(f"{_name(place)} answered {reply.status} without a usable access_token.")
    kind = said.get("token_type", "bearer")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise CredentialError(f"{_name(place)} gave a token of a type that is not Bearer.")
    refresh = said.get("refresh_token")
    if refresh is not None and (not isinstance(refresh, str) or _TOKEN.fullmatch(refresh) is None):
        raise CredentialError(f"{_name(place)} gave a refresh_token that cannot be used.")
    return Granted(token=token, lifetime=_lifetime(said.get("expires_in"), place), refresh=refresh)


def document(reply: Reply, place: Endpoint, wall: float) -> dict[str, Any]:
    """The JSON object of a success. Raises CredentialError, with the provider's Retry-After."""
    said: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        said = json.loads(reply.body)
    if not _FIRST_SUCCESS <= reply.status < _FIRST_REDIRECT:
        raise CredentialError(
            f"{_name(place)} answered {reply.status}{_word(said)}.",
            retry_after=wait.told(reply.headers, wall),
        )
    if not isinstance(said, dict):
        raise CredentialError(f"{_name(place)} answered {reply.status} with what is no JSON object.")
    if "error" in said and "access_token" not in said:  # GitHub's way, among others
        raise CredentialError(f"{_name(place)} answered {reply.status}{_word(said)}.")
    return said


def token_of(value: Any, place: Endpoint) -> str:
    """A token that can be sent. Raises CredentialError."""
    if not isinstance(value, str) or _TOKEN.fullmatch(value) is None:
        raise CredentialError(f"{_name(place)} gave no usable token.")
    return value


def _name(place: Endpoint) -> str:
    return f"The token endpoint of {place.origin.authority}"


def _word(said: Any) -> str:
    word = said.get("error") if isinstance(said, dict) else None
    return f" ({word})" if isinstance(word, str) and _WORD.fullmatch(word) is not None else ""


def _lifetime(told: Any, place: Endpoint) -> float | None:
    """`expires_in`: a number, which some write as text; seconds."""
    if told is None:
        return None
    try:
        seconds = float(told) if isinstance(told, int | float | str) and not isinstance(told, bool) else 0.0
    except (ValueError, OverflowError):
        seconds = 0.0
    if not seconds > 0:  # NaN too
        raise CredentialError(f"{_name(place)} gave a token that lives for no time.")
    return min(seconds, _LONGEST)
