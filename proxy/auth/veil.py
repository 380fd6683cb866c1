"""How is a secret value kept out of everything that is shown?

The law: a value leaves this room on the request that carries it and nowhere else. To tell credentials
apart there is a keyed digest; in texts from elsewhere every usual spelling of a value becomes `***`; what
holds values cannot be printed or pickled. A value under four characters is not masked: it hides nothing,
and replacing it would garble every text.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from typing import NoReturn
from urllib.parse import quote, quote_plus

MASK = "***"
SHORTEST = 4  # characters
_SHORTEST_PIECE = 8  # of base64 text: shorter ones occur by chance
_REMEMBERED = 8  # values beside the present ones: a rotated one may still stand in answers under way
_SALT_BYTES = range(16, 65)


class Veil:
    """What one credential's values are, for masking and telling apart only.

    `salt` (16 to 64 bytes) keys the digest, so that a guess cannot be tried without it. `present` is how
    many values are in use at once: none of them may be forgotten for another.
    """

    __slots__ = ("_forms", "_hidden", "_identity", "_latest", "_most", "_salt", "_scheme")

    def __init__(self, scheme: str, salt: bytes, *, present: int = 1) -> None:
        if len(salt) not in _SALT_BYTES:
            raise ValueError("a salt has 16 to 64 bytes")
        self._scheme = scheme
        self._most = present + _REMEMBERED
        self._salt = salt
        self._latest: tuple[str, ...] = ()
        self._identity = ""
        self._hidden: dict[str, frozenset[str]] = {}
        self._forms: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Veil({self._scheme})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a credential is not pickled")

    def identity(self, *parts: str) -> str:
        """`scheme:digest`, equal for equal parts, computed once for the present ones."""
        if parts != self._latest or not self._identity:
            digest = hashlib.blake2b(key=self._salt, digest_size=16)
            for part in (self._scheme, *parts):
                data = part.encode("utf-8", "surrogatepass")
                digest.update(len(data).to_bytes(8, "big"))
                digest.update(data)
            self._latest = parts
            self._identity = f"{self._scheme}:{digest.hexdigest()}"
        return self._identity

    def hide(self, value: str) -> None:
        """From now on `mask` replaces this value; the few that were hidden last before it stay hidden too."""
        if len(value) < SHORTEST:
            return
        known = self._hidden.pop(value, None)
        if known is not None:
            self._hidden[value] = known  # now the last
            return
        while len(self._hidden) >= self._most:
            del self._hidden[next(iter(self._hidden))]
        self._hidden[value] = spellings(value)
        # The longest first, so that no part of one form is masked before the whole of another.
        forms = frozenset().union(*self._hidden.values())
        self._forms = tuple(sorted(forms, key=lambda form: (-len(form), form)))

    def mask(self, text: str) -> str:
        """The text with every spelling of every hidden value replaced by `***`."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        return text


def spellings(value: str) -> frozenset[str]:
    """The forms in which a value turns up in texts."""
    data = value.encode("utf-8", "surrogatepass")
    percent = {quote(data), quote(data, safe=""), quote_plus(data)}
    escaped = {
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        json.dumps(value)[1:-1].replace("/", "\\/"),
        repr(value)[1:-1],
        html.escape(value),
        value.translate(_BY_GO),
        value.translate(_BY_DOTNET),
    }
    whole = base64.b64encode(data).decode()
    encoded = {form for form in (whole, whole.rstrip("="), *_inside_base64(data)) if len(form) >= SHORTEST}
    encoded |= {form.translate(_URL_SAFE) for form in encoded}
    return frozenset({value} | percent | {_lower_hex(form) for form in percent} | escaped | encoded)


_URL_SAFE = str.maketrans("+/", "-_")
# What their JSON spells otherwise than others do.
_BY_GO = str.maketrans({character: f"\\u{ord(character):04x}" for character in "&<>"})
_BY_DOTNET = str.maketrans({character: f"\\u{ord(character):04X}" for character in "\"&'+<>`"})


def _lower_hex(form: str) -> str:
    return re.sub(r"%[0-9A-F]{2}", lambda pair: pair[0].lower(), form)


def _inside_base64(data: bytes) -> set[str]:
    """What data looks like in the base64 of something longer, at each of the three alignments."""
    pieces = set()
    for lead in range(3):
        text = base64.b64encode(bytes(lead) + data).decode()
        piece = text[-(-lead * 8 // 6) : (lead + len(data)) * 8 // 6]
        if len(piece) >= _SHORTEST_PIECE:
            pieces.add(piece)
    return pieces
