"""Does a request to a GraphQL server only read?

The law: only what surely is nothing but queries may be answered from a cache. A document with a mutation
or a subscription anywhere in it may not, whichever operation is named; neither may what begins like
GraphQL and cannot be followed to its end, nor a stored operation that is called by its name alone. Text
that no GraphQL server would execute is no GraphQL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from proxy.core.expression import expression


class Effect(StrEnum):
    """What executing a request may do."""

    NONE = "none"  # it is no GraphQL: nothing is known from here
    READS = "reads"
    MAY_CHANGE = "may-change"


# GraphQL §2.1: what is ignored, then strings (closed ones; a block before an empty one), names, numbers,
# marks. Anything else is no token.
_TOKEN = expression(
    r"(?P<ignored>[\ufeff\t \r\n,]+|#[^\r\n]*)"
    r'|(?P<string>"""(?:[^"\\]|\\.|"(?!""))*"""|"(?:[^"\\\r\n]|\\[^\r\n])*")'
    r"|(?P<name>[_A-Za-z][_0-9A-Za-z]*)"
    r"|(?P<number>-?[0-9][0-9.eE+-]*)"
    r"|(?P<mark>\.\.\.|[!$&():=@\[\]{|}])",
    re.DOTALL,
)
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_READING = frozenset({"query", "fragment"})
_CHANGING = frozenset({"mutation", "subscription"})
# Parameters by which servers know an operation that was stored with them.
_STORED = frozenset({"id", "queryId", "documentId", "doc_id"})
# What makes a member given twice a riddle about which operation is meant.
MEMBERS = frozenset({"query", "operationName", "extensions", "persistedQuery", "variables"}) | _STORED


def of_document(text: str) -> Effect:
    """What a document may do. Never raises."""
    tokens = _tokens(text)
    first = next(tokens, "")
    while first == '"':  # descriptions
        first = next(tokens, "")
    if first != "{" and first not in _READING | _CHANGING:
        return Effect.NONE
    word = first
    while word:
        if word == '"':
            word = next(tokens, "")
            continue
        if (word != "{" and word not in _READING) or not _passed(word, tokens):
            return Effect.MAY_CHANGE
        word = next(tokens, "")
    return Effect.READS


def of_request(body: Any) -> Effect:
    """What a request in JSON may do: one operation, or a list of them."""
    effects = {_of_one(item) for item in (body if isinstance(body, list) else [body])}
    for effect in (Effect.MAY_CHANGE, Effect.READS):
        if effect in effects:
            return effect
    return Effect.NONE


def _of_one(body: Any) -> Effect:
    if not isinstance(body, Mapping):
        return Effect.NONE
    document = body.get("query")
    effect = of_document(document) if isinstance(document, str) else Effect.NONE
    if effect is Effect.NONE and _named(body):
        return Effect.MAY_CHANGE
    return effect


def _named(body: Mapping[str, Any]) -> bool:
    """Whether an operation is called by its name, so that nobody but the server knows what it does."""
    extensions = body.get("extensions")
    persisted = isinstance(extensions, Mapping) and "persistedQuery" in extensions
    return persisted or "operationName" in body or ("variables" in body and not _STORED.isdisjoint(body))


def _passed(word: str, tokens: Iterator[str]) -> bool:
    """Goes to the end of a definition, which is that of its outermost selection; False without one."""
    open_: list[str] = []
    selecting = False
    while word:
        if word in _CLOSING:
            selecting = selecting or (word == "{" and not open_)
            open_.append(_CLOSING[word])
        elif word in {")", "]", "}", "?"}:
            if not open_ or open_.pop() != word:
                return False
            if selecting and not open_:
                return True
        word = next(tokens, "")
    return False


def _tokens(text: str) -> Iterator[str]:
    """The tokens; `"` stands for any string, `?` for what is none."""
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            yield "?"
            return
        position = found.end()
        if found.lastgroup == "string":
            yield '"'
        elif found.lastgroup != "ignored":
            yield found[0]
