"""What may a log line show?

The law: every event passes here last before it is written. What is named like a secret shows `***`; what
equals a registered secret shows `***` wherever it stands; nothing that a stranger sent can begin a new
line, move a cursor or turn the direction of writing. When redaction itself fails, the event's fields are
dropped, not shown.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping, MutableMapping
from collections.abc import Set as AbstractSet
from functools import lru_cache
from itertools import zip_longest
from typing import Any

from proxy.core.expression import expression
from proxy.core.message import Headers
from proxy.core.value import dataclass

MASK = "***"
SHOWN_BODY = 500  # bytes
# What has to be at hand to show that much: as long a secret as a request head may carry can begin in the
# last byte shown, and is only recognised whole.
KEPT_BODY = SHOWN_BODY + 16 * 1024
MOST_TEXT = 8192  # characters of one field; a traceback may have four times as many
_MOST_ITEMS = 200
_MOST_DEPTH = 6
_SHORT = 128  # characters of a text whose outcome is remembered: paths and words come again and again

# Names of fields that only we write; any other name may be a stranger's word.
_OURS = frozenset(
    {
        *(
            "event",
            "level",
            "logger",
            "exception",
            "id",
            "method",
            "path",
            "route",
            "status",
            "cache",
            "reason",
        ),
        *("attempts", "tries", "ms", "first_byte_ms", "bytes_in", "bytes_out", "error", "detail", "cut"),
    }
)

_NAMES = (
    r"authorization|cookie|token|secret|passw(?:or)?d|passphrase|credential|signature|assertion|jwt"
    r"|x-auth|websocket[-_]protocol|session[-_]?id|(?:api|access|private|subscription|auth|signing|encryption)[-_]?key"
)
_NAMED_SO = expression(_NAMES, re.IGNORECASE)
# Browsers, which can set no other field, put tokens into Sec-WebSocket-Protocol.
# `x-ratelimit-remaining-tokens` counts, it hides nothing.
_COUNTS = expression(r"rate-?limit", re.IGNORECASE)

# `name: value`, `"name": "value"`, `name=value`, `('name', b'value')` in running text. Nothing before the
# name is matched, and every repetition is bounded or cannot overlap: the text comes from strangers.
_PAIR = expression(
    rf"((?:{_NAMES})[\w.-]{{0,40}}\\?[\"']?\s{{0,4}}(?:[:=]|,(?=\s{{0,4}}b?[\"']))\s{{0,4}}b?)"
    r"(\\\"(?:[^\"\\]|\\[^\"])*(?:\\\")?|\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?"
    r"|(?:bearer|basic|token|digest|apikey)\s{1,4}[^\s,;\"'&]+|[^\s,;&\"'\\)}\]]+)",
    re.IGNORECASE,
)


def _beside(names: AbstractSet[str]) -> re.Pattern[str] | None:
    """`"number": "4242"`, `card[number]=4242`: a value beside one of these names, in JSON or a form."""
    if not names:
        return None
    words = "|".join(re.escape(name) for name in sorted(names))
    return expression(
        rf"((?:(?<![\w-])|(?<=%5B))(?:{words})(?:\]|%5D)?\\?[\"']?\s{{0,4}}[:=]\s{{0,4}})"
        r"(\\\"(?:[^\"\\]|\\[^\"])*(?:\\\")?|\"(?:[^\"\\]|\\.)*\"?|[^\s,;&\"'\\)}\]]+)",
        re.IGNORECASE,
    )


# Whole lines of these hold several values.
_WHOLE = expression(
    r"((?:authorization|cookie|websocket[-_]protocol)\s{0,4}[:=]\s{0,4})([^\r\n\"'{}\[\]]+)", re.IGNORECASE
)
_SCHEME = expression(r"\b(bearer|basic)\s{1,4}(?=\S{0,200}\d|\S{20})[\w.~+/=-]{6,}", re.IGNORECASE)
_USERINFO = expression(r"://[^/\s@\"']{1,256}@")
_PARAMETER = expression(
    r"([?&](?:key|sig|code|auth|pass|pwd|hmac|x-amz-[\w-]{1,40})=)[^&\s\"'#]+", re.IGNORECASE
)

_WRITTEN_APART = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The first KEPT_BODY bytes of a text body; SHOWN_BODY of them are shown."""

    data: bytes


class Redaction:
    """A structlog processor. `mask` replaces the registered secrets in a text.

    `sensitive` are names, in lower case, whose values in headers and bodies are hidden as secrets are.
    """

    def __init__(self, mask: Callable[[str], str], sensitive: AbstractSet[str] = frozenset()) -> None:
        self._mask = mask
        self._sensitive = sensitive
        self._named = _beside(sensitive)

    def __call__(self, _logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        # One look at all texts together: a line without a secret, which is nearly every one, costs one.
        together = "\0".join([value for value in event.values() if type(value) is str])
        mask = _itself if self._mask(together) == together else self._mask
        return {
            name if name in _OURS else self.text(name): self._field(name, value, mask)
            for name, value in event.items()
        }

    def text(
        self,
        text: str,
        *,
        lines: bool = False,
        most: int = MOST_TEXT,
        mask: Callable[[str], str] | None = None,
    ) -> str:
        """One text made safe. `lines` keeps line breaks, each continued line indented."""
        # Masked before it is cut: half a secret would not be recognised.
        text = (mask or self._mask)(text)
        if len(text) > most:
            text = f"{text[:most]}… ({len(text) - most} more characters)"
        text = by_name(text)
        if text.isprintable():
            return text
        if lines:
            return "\n    ".join(_escaped(line) for line in text.splitlines())
        return _escaped(text)

    def _field(self, name: str, value: Any, mask: Callable[[str], str]) -> Any:
        if type(value) is not str:
            return MASK if secret_name(name) else self._value(value, 0)
        if name in _OURS:
            if name == "exception":
                return self.text(value, lines=True, most=4 * MOST_TEXT, mask=mask)
            return self.text(value, mask=mask)
        return MASK if secret_name(name) else self.text(value, mask=mask)

    def _value(self, value: Any, depth: int) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Excerpt):
            return self._excerpt(value.data[:KEPT_BODY])
        if isinstance(value, Headers):
            value = _grouped(value)
        if isinstance(value, Mapping | list | tuple | AbstractSet):
            return self._several(value, depth + 1) if depth < _MOST_DEPTH else "…"
        return self.text(_said(value))

    def _excerpt(self, data: bytes) -> str:
        decoded = codecs.getincrementaldecoder("utf-8")("replace")
        alone = self._mask(decoded.decode(data[:SHOWN_BODY]))
        whole = self._mask(data.decode("utf-8", "replace"))
        # Both begin alike, up to a secret that goes on after what is shown and is only masked in the whole.
        if whole.startswith(alone):
            return self.text(self._unnamed(alone))
        alike = next(at for at, pair in enumerate(zip_longest(alone, whole)) if pair[0] != pair[1])
        return self.text(self._unnamed(alone[:alike] + MASK))

    def _unnamed(self, body: str) -> str:
        return body if self._named is None else self._named.sub(_masked_pair, body)

    def _several(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            return {
                self.text(str(name)): MASK if self._hides(str(name)) else self._value(inner, depth)
                for name, inner in list(value.items())[:_MOST_ITEMS]
            }
        return [self._value(inner, depth) for inner in list(value)[:_MOST_ITEMS]]

    def _hides(self, name: str) -> bool:
        return secret_name(name) or name.lower() in self._sensitive


def _itself(text: str) -> str:
    return text


def _said(value: object) -> str:
    match value:
        case bytes() | bytearray():
            return value.decode("utf-8", "replace")
        case BaseException():
            return f"{type(value).__name__}: {value}"
        case _:
            return repr(value)


@lru_cache(maxsize=1024)
def secret_name(name: str) -> bool:
    """Whether a field, header or parameter is called like something that hides a secret."""
    return _NAMED_SO.search(name) is not None and _COUNTS.search(name) is None


def by_name(text: str) -> str:
    """The text without values that stand beside a secret's name, in URLs, headers, JSON or forms."""
    if text.isalnum():
        return text  # one word: no name beside a value
    return _short(text) if len(text) <= _SHORT else _without_named(text)


@lru_cache(maxsize=1024)
def _short(text: str) -> str:
    return _without_named(text)


def _without_named(text: str) -> str:
    if _NAMED_SO.search(text) is not None:
        text = _WHOLE.sub(rf"\1{MASK}", text)
        text = _PAIR.sub(_masked_pair, text)
    if " " in text:
        text = _SCHEME.sub(rf"\1 {MASK}", text)
    if "@" in text:
        text = _USERINFO.sub(f"://{MASK}@", text)
    if "=" in text:
        text = _PARAMETER.sub(rf"\1{MASK}", text)
    return text


def _masked_pair(pair: re.Match[str]) -> str:
    value = pair[2]
    for quote in ('\\"', '"', "'"):
        if value.startswith(quote):
            return (
                f"{pair[1]}{quote}{MASK}{quote if value.endswith(quote) and len(value) > len(quote) else ''}"
            )
    return f"{pair[1]}{MASK}"


def _escaped(text: str) -> str:
    # isprintable() is False for controls, line and paragraph separators, direction marks and surrogates.
    return "".join(c if c.isprintable() else _WRITTEN_APART.get(c) or _number(c) for c in text)


def _number(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def _grouped(headers: Headers) -> dict[str, str | list[str]]:
    lines: dict[str, list[str]] = {}
    for name, value in headers:
        lines.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else list(values) for name, values in lines.items()}
