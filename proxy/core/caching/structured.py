"""What does a targeted field such as CDN-Cache-Control say? (RFC 9213 §2.1, RFC 9651 §4.2)

The law: it is a dictionary by the book or it does not exist. One broken member makes the whole field
unreadable, and then the cache acts as if the origin had not sent it. Of a name given twice the last counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from proxy.core.expression import expression

_KEY = expression(r"[a-z*][a-z0-9_.*-]*", re.ASCII)
_STRING = r'"(?:[ !#-\[\]-~]|\\["\\])*"'
# An item without its parameters: display string, string, byte sequence, boolean, date, number, token.
_BARE = (
    rf'%"(?:[ !#$&-~]|%[0-9a-f]{{2}})*"|{_STRING}|:[A-Za-z0-9+/=]*:|\?[01]|@-?[0-9]{{1,15}}(?![0-9.])'
    r"|-?[0-9]{1,12}\.[0-9]{1,3}(?![0-9])|-?[0-9]{1,15}(?![0-9.])|[A-Za-z*][A-Za-z0-9:/!#$%&'*+.^_`|~-]*"
)
_PARAMETERS = rf"(?:;[ ]*[a-z*][a-z0-9_.*-]*(?:=(?:{_BARE}))?)*"
_ITEM = expression(rf"(?P<bare>{_BARE}){_PARAMETERS}", re.ASCII)
_INNER = expression(
    rf"\([ ]*(?:(?:{_BARE}){_PARAMETERS}(?:[ ]+(?:{_BARE}){_PARAMETERS})*)?[ ]*\){_PARAMETERS}", re.ASCII
)
_ALONE = expression(_PARAMETERS, re.ASCII)
_COMMA = expression(r"[ \t]*,[ \t]*")
_MOST = 4096  # characters; a longer field is nobody's list of directives


@lru_cache(maxsize=512)
def directives(text: str) -> Mapping[str, tuple[str | None, ...]] | None:
    """The field's members in the form that `directives.Directives` keeps; None where it cannot be read.

    A true boolean is a directive without argument, a false one is no directive. A string keeps its
    quotes, so that nothing takes it for the number that it only looks like. Never raises.
    """
    rest = text.strip(" ")
    if not rest or len(rest) > _MOST:
        return None
    given: dict[str, tuple[str | None, ...]] = {}
    position = 0
    while True:
        name = _KEY.match(rest, position)
        if name is None:
            return None
        position = name.end()
        argument: str | None = None
        if rest.startswith("=", position):
            value = _ITEM.match(rest, position + 1) or _INNER.match(rest, position + 1)
            if value is None:
                return None
            position = value.end()
            argument = value.groupdict().get("bare", value[0])
        else:
            alone = _ALONE.match(rest, position)
            position = position if alone is None else alone.end()
        given.pop(name[0], None)
        if argument != "?0":
            given[name[0]] = (None if argument == "?1" else argument,)
        if position == len(rest):
            return given
        comma = _COMMA.match(rest, position)
        if comma is None or comma.end() == len(rest):
            return None
        position = comma.end()
