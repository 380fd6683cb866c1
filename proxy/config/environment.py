"""Which settings stand in the environment?

`LEEWARD_UPSTREAMS__GITHUB__BASE_URL` is `upstreams.github.base_url`: two underscores step into a mapping,
upstreams are found by their name without regard to case, `-` and `.` being `_`. A value that begins with a
bracket is read as YAML or JSON; an empty variable counts as not set.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from proxy.config.document import Document, parse
from proxy.config.problems import Key, Problem, dotted
from proxy.core.expression import expression

PREFIX = "LEEWARD_"
_NOT_SETTINGS = frozenset({"LEEWARD_CONFIG"})
_LITERAL = frozenset(
    {
        *("token", "password", "client_token", "value", "username", "client_id", "client_secret", "key"),
        *("key_id", "private_key", "service_account", "refresh_token", "access_key_id", "secret_access_key"),
        "session_token",
    }
)
_PLACES = ({"env"}, {"file"})
# Kubernetes describes every Service to every pod; one that is called leeward must not stop us.
_OF_KUBERNETES = expression(r"LEEWARD_(?:[A-Z0-9_]*_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?)")
_PORT_OF_KUBERNETES = expression(r"LEEWARD_(?:[A-Z0-9_]*_)?PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_[A-Z]+)?)?")
_LINK = expression(r"(?:tcp|udp|sctp)://")


def read(
    environ: Mapping[str, str], names: Iterable[str], sections: Iterable[str]
) -> tuple[dict[str, Any], dict[Key, str], list[Problem]]:
    """The settings, the variable that each came from, and what was wrong.

    `names` are the upstreams known already, `sections` the top level's keys.
    """
    known: dict[str, set[str]] = {}
    for name in names:
        known.setdefault(_plain(name), set()).add(name)
    data: dict[str, Any] = {}
    places: dict[Key, str] = {}
    problems: list[Problem] = []
    # Short names first, so that a mapping given whole may be refined by longer names.
    for variable in sorted(environ, key=lambda name: (name.count("__"), name)):
        text = environ[variable]
        if not variable.startswith(PREFIX) or not text or _foreign(variable, text):
            continue
        parts = variable.removeprefix(PREFIX).lower().split("__")
        if len(parts) == 1 and (cure := _one_underscore(parts[0], sections)):
            problems.append(Problem(file=variable, line=0, key=parts[0], message=cure))
            continue
        if not all(parts):
            message = "two underscores lead nowhere; write LEEWARD_SECTION__KEY"
            problems.append(Problem(file=variable, line=0, key="", message=message))
            continue
        if parts[0] == "upstreams" and len(parts) > 1:
            meant = sorted(known.get(parts[1], {parts[1]}))
            if len(meant) > 1:
                message = f"could mean {' or '.join(meant)}; set it in the file, or rename one of them"
                problems.append(Problem(file=variable, line=0, key="upstreams", message=message))
                continue
            parts[1] = meant[0]
        key = tuple(parts)
        try:
            value = _value(text, parts[-1])
        except ValueError as error:
            problems.append(Problem(file=variable, line=0, key=dotted(key), message=str(error)))
            continue
        _put(data, parts, value)
        _note(places, key, value, variable)
    return data, places, problems


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").replace(".", "_")


def _foreign(variable: str, text: str) -> bool:
    if variable in _NOT_SETTINGS or "__" in variable:
        return variable in _NOT_SETTINGS
    if _OF_KUBERNETES.fullmatch(variable):
        return True
    if not _PORT_OF_KUBERNETES.fullmatch(variable):
        return False
    # …_PORT and its like hold a link, or a part of one; a mistyped setting of ours does not.
    return _LINK.match(text) is not None or re.search(r"_PORT_\d+_", variable) is not None


def _one_underscore(name: str, sections: Iterable[str]) -> str | None:
    for section in sections:
        if name.startswith(f"{section}_"):
            rest = name.removeprefix(f"{section}_")
            return (
                f"unknown key; did you mean {PREFIX}{section.upper()}__{rest.upper()}, with two underscores?"
            )
    return None


def _value(text: str, last: str) -> Any:
    stripped = text.strip()
    if stripped in {"null", "~"}:
        return None
    if not stripped.startswith(("{", "[")):
        return text
    if last in _LITERAL:
        # A token may begin with a bracket; only what surely names a place is one.
        found = _flow(stripped)
        places = found if isinstance(found, list) and found else [found]
        named = all(isinstance(one, dict) and one.keys() in _PLACES for one in places)
        return found if named else text
    found = _flow(stripped)
    if found is None:
        raise ValueError("is neither JSON nor YAML; close its brackets and quotes")
    return found


def _flow(text: str) -> Any:
    document = Document(name="")
    try:
        parse(f"value: {text}", document)
    except yaml.YAMLError:
        return None
    return None if document.problems else document.data.get("value")


def _put(data: dict[str, Any], parts: list[str], value: Any) -> None:
    here = data
    for part in parts[:-1]:
        below = here.get(part)
        if not isinstance(below, dict):
            below = here[part] = {}
        here = below
    here[parts[-1]] = value


def _note(places: dict[Key, str], key: Key, value: Any, variable: str) -> None:
    places[key] = variable
    pairs: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = enumerate(value)
    for part, below in pairs:
        _note(places, (*key, part), below, variable)
