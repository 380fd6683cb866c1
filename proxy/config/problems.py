"""What is wrong with the configuration, where does it stand, and what would be right?

The law: all problems are told at once; each names its place; and nothing under a key that can bear a
secret is ever quoted.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from proxy.config.credentials import HERE
from proxy.config.later import Later
from proxy.core.value import dataclass

Key = tuple[str | int, ...]

_SECRET_KEYS = frozenset({"auth", "token", "password", "client_token", "value", "set", "username"})
_LONGEST_QUOTE = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """`file` is the file's name, a variable's name or `command line`; `line` counts from 1, 0 = none."""

    file: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"


class ConfigError(Exception):
    """The configuration cannot be used; `problems` says all that is wrong with it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def dotted(key: Key) -> str:
    """`upstreams.github.rules[0].match`."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def bears_secret(key: Key) -> bool:
    """Whether what stands under this key may be a credential, or be one by mistake."""
    return not _SECRET_KEYS.isdisjoint(part for part in key if isinstance(part, str))


def located(error: ErrorDetails, data: Any) -> tuple[Key, str]:
    """An error of pydantic's as the key in the file and a sentence with the cure."""
    key = _key(error["loc"], data, absent=error["type"] == "missing")
    match error["type"]:
        case "missing":
            return key, _missing(key)
        case "extra_forbidden":
            return key, "unknown key"
        case "union_tag_invalid":
            # It is the type that is wrong, whatever else stands beside it.
            return (*key, "type"), _sentence(error, None, key)
        case _:
            return key, _sentence(error, None if bears_secret(key) else error["input"], key)


def _key(location: Sequence[str | int], data: Any, *, absent: bool) -> Key:
    """Without what pydantic adds: the tag of a union's member, `[key]`. `absent`: the last is not there."""
    key: list[str | int] = []
    here = data
    for index, part in enumerate(location):
        last = index == len(location) - 1
        if isinstance(here, Mapping):
            name = str(part)
            if name in here:
                here = here[name]
            elif not (last and absent):
                continue
            else:
                here = None
            key.append(name)
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            here = here[part]
            key.append(part)
    return tuple(key)


def _missing(key: Key) -> str:
    cures = {
        "base_url": "write the API's address, such as base_url: https://api.example.com",
        "upstreams": "write at least one, such as upstreams: {github: {base_url: https://api.github.com}}",
        "token": "write token: {env: NAME}, {file: PATH} or a string",
        "client_id": "write client_id: with what the provider calls it, or {env: NAME}",
        "token_url": "write the provider's token endpoint, such as token_url: https://auth.example.com/oauth/token",
        "private_key": "write private_key: {file: PATH}",
        "sign": "write what is signed, such as sign: '{timestamp}{method}{path}{body}'",
    }
    last = str(key[-1])
    return f"is missing; {cures.get(last, f'write {last}: with its value')}"


_SENTENCES = {
    "model_type": "should be a mapping of keys, such as {example}",
    "model_attributes_type": "should be a mapping of keys, such as {example}",
    "dict_type": "should be a mapping of keys, such as {example}",
    "list_type": "should be a list, such as [A, B]",
    "string_type": "should be text; put it in quotes",
    "string_too_short": "is empty; write a value or leave the key out",
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
    "int_type": "should be a whole number",
    "int_parsing": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_type": "should be a number",
    "float_parsing": "should be a number",
    "finite_number": "should be a finite number",
    "greater_than": "should be above {gt}",
    "greater_than_equal": "should be {ge} or more",
    "less_than": "should be below {lt}",
    "less_than_equal": "should be {le} or less",
    "literal_error": "should be one of {expected}",
    "enum": "should be one of {expected}",
    "too_short": "is empty; write at least one",
    "union_tag_not_found": "type is missing; write one of {types}",
    "union_tag_invalid": "should be one of {expected}",
}
# What to write where a mapping belongs and something else stands: what was most likely meant.
_EXAMPLES = {
    "auth": "{type: bearer, token: {env: NAME}}, or {type: none}",
    "cache": "{default_ttl: 60s}, or {enabled: false}",
    "retry": "{attempts: 5}, or {attempts: 1} for no retries",
    "budget": "{ratio: 0.2}, or null for none",
    "backoff": "{initial: 200ms, max: 10s}",
    "timeout": "{total: 60s}",
    "headers": "{set: {Accept: application/json}}",
    "set": "{Accept: application/json}",
    "idempotency": "{ttl: 24h}, or null for none",
    "match": "{method: GET, path: /v1/*}",
    "negative_ttl": "{404: 10s}",
    "key": "{ignore_query: [utm_source]}",
    "circuit_breaker": "{failure_ratio: 0.5}, or null for none",
    "concurrency": "{max: 256}, or null for none",
    "rate_limit": "{requests: 100, per: 1m}, or null for none",
    "tls": "{cert: FILE, key: FILE}",
    "allow": "[{method: GET, path: /v1/**}]",
    "server": "{listen: 127.0.0.1:8080}",
    "log": "{level: info}",
    "tracing": "{sample: 1.0}",
    "defaults": "{timeout: {total: 30s}}",
    "upstreams": "{github: {base_url: https://api.github.com}}",
}
_FORMS = {
    "path": "should be a glob that starts with / or *, without a query, such as /v1/*",
    "name": "should be the parameter's name alone, such as key",
}


def _sentence(error: ErrorDetails, given: Any, key: Key) -> str:
    context = {"types": ", ".join(HERE), "example": _example(key), **error.get("ctx", {})}
    kind = error["type"]
    if kind == "value_error":
        return str(context["error"])
    if kind == "string_pattern_mismatch":
        if len(key) == 2 and key[0] == "upstreams":  # noqa: PLR2004 - upstreams.NAME
            return "a name is letters, digits, dots, hyphens and underscores, at most 64; choose such a name"
        return _FORMS.get(str(key[-1]), "is not well formed")
    if "expected_tags" in context:
        context["expected"] = context["expected_tags"].replace("'", "")
    if "expected" in context:
        context["expected"] = str(context["expected"]).replace("'", "")
    sentence = _SENTENCES.get(kind)
    if sentence is None:
        return error["msg"][:1].lower() + error["msg"][1:]
    said = sentence.format(**context)
    if kind == "union_tag_invalid":
        # The nearest known word is told, what was written is not: it stands under auth.
        near = difflib.get_close_matches(str(context["tag"]).lower(), HERE, n=1, cutoff=0.6)
        said += f"; did you mean {near[0]}?" if near else ""
    if given is not None and isinstance(given, str | int | float):
        text = str(given)
        if len(text) <= _LONGEST_QUOTE and text:
            said += f", not {text!r}" if isinstance(given, str) else f", not {_yaml(given)}"
    return said


def _example(key: Key) -> str:
    match key:
        case ("cache",):
            return "{max_bytes: 256MiB}"
        case ("upstreams", _):
            return "{base_url: https://api.example.com}"
        case (*_, "rules", int()):
            return "{match: {path: /v1/*}, cache: {default_ttl: 60s}}"
        case _:
            return _EXAMPLES.get(str(key[-1]) if key else "", "{key: value}")


def _yaml(given: float) -> str:
    return str(given).lower() if isinstance(given, bool) else str(given)


def suggestion(unknown: str, known: Sequence[str]) -> str:
    """The sentence about an unknown key, with the nearest known one."""
    near = difflib.get_close_matches(unknown.lower(), known, n=1, cutoff=0.6)
    if near:
        return f"unknown key; did you mean {near[0]}?"
    return f"unknown key; known here: {', '.join(known)}" if known else "unknown key; remove it"


def unknown(model: type[BaseModel], key: Key, data: Any = None) -> str:
    """The sentence about a key that the model does not have; `data` is what is written."""
    known = known_keys(model, key)
    kind = _kind(key, data)
    if kind is not None:
        takes = [name for name in known_keys(model, key, kind) if name != "type"]
        near = difflib.get_close_matches(str(key[-1]).lower(), takes, n=1, cutoff=0.6)
        said = (
            f"did you mean {near[0]}?" if near else f"type {kind} takes {', '.join(takes) or 'nothing more'}"
        )
        return f"unknown key; {said}"
    match key:
        case ("upstreams" | "defaults", *_, "rules", int(), str(last)) if (
            last not in known and last in known_keys(model, ("defaults", last))
        ):
            return f"a rule holds {', '.join(known)}; write {last} beside rules, or make another upstream"
        case _:
            within = _within(model, key, known)
            return f"unknown key; did you mean {within}?" if within else suggestion(str(key[-1]), known)


def _within(model: type[BaseModel], key: Key, known: Sequence[str]) -> str:
    """The places below the keys beside it where this key would be known."""
    *above, last = key
    places = ((name, ("NAME",) if not above and name == "upstreams" else ()) for name in known)
    found = [
        ".".join((name, *step, str(last)))
        for name, step in places
        if last in known_keys(model, (*above, name, *step, last))
    ]
    return " or ".join(found)


def _kind(key: Key, data: Any) -> str | None:
    """The type of credential that is written beside the last part of `key`, where that is one we have."""
    here = data if "auth" in key[:-1] else None
    for part in key[:-1]:
        if isinstance(here, list) and isinstance(part, int):
            here = here[part] if part < len(here) else None
        else:
            here = here.get(part) if isinstance(here, Mapping) else None
    kind = here.get("type") if isinstance(here, Mapping) else None
    return kind if isinstance(kind, str) and kind in HERE else None


def known_keys(model: type[BaseModel], key: Key, kind: str | None = None) -> list[str]:
    """The keys that may stand beside the last part of `key`, from the model down.

    Of models that differ by their `type`, the one of that `kind`, or all.
    """
    models: list[type[BaseModel]] = [model]
    for part in key[:-1]:
        models = [found for one in models for found in _below(one, part)]
    if kind is not None:
        models = [one for one in models if kind in get_args(one.model_fields["type"].annotation)]
    names: dict[str, None] = {}
    for one in models:
        names.update(dict.fromkeys(one.model_fields))
    return list(names)


def _below(model: type[BaseModel], part: str | int) -> list[type[BaseModel]]:
    field = model.model_fields.get(str(part))
    if field is not None:
        later = [one.load() for one in field.metadata if isinstance(one, Later)]
        return _models(later[0] if later else field.annotation)
    # A dict's key or a list's index: the step was taken with the field that holds it.
    return [model]


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for one in get_args(annotation) for found in _models(one)]
