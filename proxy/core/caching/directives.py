"""What do the directives of a message say? (RFC 9111 §5.2)

The law: no text raises; what is unknown is ignored; what is known but malformed means the stricter
thing. Of a directive given twice the stricter value counts, so two caches in a row never disagree
towards reuse. A field that is addressed to this kind of cache silences those addressed to all (RFC 9213).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from proxy.core.caching import syntax
from proxy.core.caching.policy import Scope
from proxy.core.message import Headers
from proxy.core.value import dataclass

# Values come from strangers: what is remembered of them is short.
_MOST_REMEMBERED = 200
# For these a larger number is the stricter wish; for all others a smaller one is.
_GREATER_IS_STRICTER = frozenset({"min-fresh"})


@dataclass(frozen=True, slots=True)
class Directives:
    """The directives of one message: lower-case name to every argument given, None = without one.

    `targeted`: they come from a field addressed to us, so Cache-Control and Expires mean nothing.
    """

    given: Mapping[str, tuple[str | None, ...]]
    targeted: bool = False

    def __contains__(self, name: str) -> bool:
        return name in self.given

    def __bool__(self) -> bool:
        return bool(self.given)

    def seconds(self, name: str) -> int | None:
        """A directive's number of seconds; None where it is absent.

        One that is malformed or lacks its number is the strictest: 0, or 2³¹ for `min-fresh`.
        """
        arguments = self.given.get(name)
        if arguments is None:
            return None
        greater = name in _GREATER_IS_STRICTER
        worst = syntax.MOST_SECONDS if greater else 0
        read = [worst if a is None else _number(a, worst) for a in arguments]
        return max(read) if greater else min(read)

    def patience(self) -> float | None:
        """`max-stale` in seconds, infinite where it stands without a number; None where absent."""
        arguments = self.given.get("max-stale")
        if arguments is None:
            return None
        return min(float("inf") if a is None else _number(a, 0) for a in arguments)


def _number(argument: str, worst: int) -> int:
    read = syntax.seconds(argument)
    return worst if read is None else read


NOTHING = Directives({})


def parse(text: str) -> Directives:
    """Reads one field value. Never raises."""
    return _remembered(text) if len(text) <= _MOST_REMEMBERED else _read(text)


@lru_cache(maxsize=512)
def _remembered(text: str) -> Directives:
    return _read(text)


def _read(text: str) -> Directives:
    given: dict[str, tuple[str | None, ...]] = {}
    for member in syntax.split(text):
        name, equals, argument = member.partition("=")
        # A blank beside `=` is malformed: the name is still known, its argument is not read as one.
        lowered = name.strip().lower()
        blank = name != name.rstrip() or argument != argument.lstrip()
        value = (argument if blank else syntax.unquote(argument)) if equals else None
        given[lowered] = (*given.get(lowered, ()), value)
    return Directives(given)


def of_request(headers: Headers) -> Directives:
    """What the caller asks. `Pragma: no-cache` speaks only where Cache-Control is silent (§5.4)."""
    text = headers.joined("cache-control")
    if text is not None:
        return parse(text)
    pragma = headers.joined("pragma")
    if pragma is not None and "no-cache" in parse(pragma):
        return parse("no-cache")
    return NOTHING


# RFC 9213 §2: the fields addressed to us, the most particular first. Of a cache that serves one credential
# CDN-Cache-Control does not speak: what a CDN may keep although others may not is not for such a one.
_TARGETS = {
    Scope.SHARED: ("leeward-cache-control", "cdn-cache-control"),
    Scope.CREDENTIAL: ("leeward-cache-control",),
}
TARGETS = frozenset(name for names in _TARGETS.values() for name in names)


def of_response(headers: Headers, scope: Scope) -> Directives:
    """What the origin says to a cache of this scope."""
    for target in _TARGETS[scope]:
        line = headers.joined(target)
        if line is None:
            continue
        # Few origins address us, and each start would wait for the grammar.
        from proxy.core.caching import structured  # noqa: PLC0415

        given = structured.directives(line)
        if given:
            return Directives(given, targeted=True)
    text = headers.joined("cache-control")
    return NOTHING if text is None else parse(text)
