"""How do command line, environment, file and defaults become one Settings?

The law: the command line wins over the environment, that over the file, that over the defaults; within
the file an upstream's own word wins over `defaults`. Nothing half valid comes out: either Settings, or
every problem at once with its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from proxy.config import document, environment, presets
from proxy.config.conflicts import NAME, conflicts
from proxy.config.pending import MESSAGE, pending
from proxy.config.presets import Preset
from proxy.config.problems import ConfigError, Key, Problem, dotted, located, unknown
from proxy.config.settings import Settings
from proxy.core.value import dataclass

_PLACES = ({"env"}, {"file"})
_COMMAND_LINE = "command line"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Valid settings, what in them is not in force yet, and the file that they came from, if any.

    `problem` says where a key stands. `data` is what the settings were made of, secrets included.
    """

    settings: Settings
    warnings: tuple[Problem, ...] = ()
    file: Path | None = None
    problem: Callable[[Key, str], Problem] = field(repr=False, compare=False)
    data: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(slots=True, kw_only=True)
class _Layers:
    """All layers merged, and where each key stands."""

    overrides: Mapping[str, Any]
    variables: dict[Key, str]
    document: document.Document | None
    said: dict[str, Any] = field(default_factory=dict)  # merged, without `defaults` below the upstreams
    data: dict[str, Any] = field(default_factory=dict)  # with them, and with the presets below them
    presets: dict[str, Preset] = field(default_factory=dict)  # by the upstream's name

    def place(self, key: Key) -> tuple[str, int, Key]:
        """File, line and key as written; the nearest enclosing key where it is not written at all."""
        for length in range(len(key), 0, -1):
            near = key[:length]
            found = self._exact(near)
            if found is not None:
                return *found, key
            if key[0] == "upstreams" and length > 2:  # noqa: PLR2004 - below upstreams.NAME
                found = self._exact(("defaults", *near[2:]))
                if found is not None:
                    return *found, ("defaults", *key[2:])
                found = self._in_preset(near)
                if found is not None:
                    return *found, key[2:]
        if self.document is not None:
            return self.document.name, 1, key
        return "configuration", 0, key

    def _exact(self, key: Key) -> tuple[str, int] | None:
        here: Any = self.overrides
        for part in key:
            here = here.get(part, self) if isinstance(here, Mapping) else self
        if here is not self:
            return _COMMAND_LINE, 0
        if key in self.variables:
            return self.variables[key], 0
        if self.document is not None and key in self.document.lines:
            return self.document.name, self.document.lines[key]
        # A section that only variables speak of: the first of them is the place to look at.
        deeper = (variable for below, variable in self.variables.items() if below[: len(key)] == key)
        return next(((variable, 0) for variable in deeper), None)

    def _in_preset(self, key: Key) -> tuple[str, int] | None:
        preset = self.presets.get(str(key[1]))
        below = key[2:]
        if preset is not None and len(below) > 1 and below[0] == "rules" and isinstance(below[1], int):
            # The operator's rules stand before the preset's.
            ours = len(_mapping(_mapping(self.said.get("upstreams")).get(str(key[1]))).get("rules") or ())
            below = ("rules", below[1] - ours, *below[2:])
        lines = {} if preset is None else preset.document.lines
        return (preset.document.name, lines[below]) if preset is not None and below in lines else None

    def problem(self, key: Key, message: str) -> Problem:
        file, line, written = self.place(key)
        shown = _option(written) if file == _COMMAND_LINE else dotted(written)
        return Problem(file=file, line=line, key=shown, message=message)


def load(file: Path | None, overrides: Mapping[str, Any], environ: Mapping[str, str]) -> Loaded:
    """Reads and checks everything. Raises ConfigError with all problems.

    `overrides` is a nested mapping from the command line. Secrets in the environment or in files are
    not read here, only where they are used.
    """
    written = document.read(file) if file is not None else None
    problems = list(written.problems) if written is not None else []
    said = written.data if written is not None else {}
    if written is not None and problems and not said:
        raise ConfigError(problems)  # nothing could be read: complaints about what is missing would mislead
    names = [name for layer in (said, overrides) for name in _mapping(layer.get("upstreams"))]
    variables, places, wrong = environment.read(environ, names, Settings.model_fields)
    problems += wrong
    layers = _Layers(overrides=overrides, variables=places, document=written)
    layers.said = merged(overrides, merged(variables, said))
    layers.presets, wrong = _presets(layers, file)
    problems += wrong
    layers.data = _completed(layers.said, layers.presets, environ)
    settings = None
    try:
        settings = Settings(**layers.data)
    except ValidationError as error:
        problems += _told(error, layers)
    problems += [layers.problem(key, message) for key, message in conflicts(layers.data)]
    if problems or settings is None:
        raise ConfigError(_ordered(problems))
    warnings = [layers.problem(key, MESSAGE) for key in pending(layers.said)]
    return Loaded(
        settings=settings,
        warnings=_ordered(warnings),
        file=file,
        problem=layers.problem,
        data=layers.data,
    )


def find(environ: Mapping[str, str]) -> Path | None:
    """The file to read where none is named: ./leeward.yaml, then what LEEWARD_CONFIG says."""
    here = Path("leeward.yaml")
    if here.exists():
        return here
    named = environ.get("LEEWARD_CONFIG")
    return Path(named) if named else None


def merged(over: Any, under: Any, key: str = "") -> Any:
    """Mappings key by key; anything else, a secret's place, or a credential of another type, whole."""
    if not isinstance(over, Mapping) or not isinstance(under, Mapping):
        return over
    if over.keys() in _PLACES and under.keys() in _PLACES:
        return over
    if key == "auth" and over.get("type", under.get("type")) != under.get("type"):
        return over
    result = dict(under)
    for name, value in over.items():
        result[name] = merged(value, under[name], name) if name in under else value
    return result


def _presets(layers: _Layers, file: Path | None) -> tuple[dict[str, Preset], list[Problem]]:
    """The presets that upstreams name, and what is wrong with them. A file is found beside the file."""
    found: dict[str, Preset] = {}
    problems: list[Problem] = []
    usual = _mapping(layers.said.get("defaults")).get("preset")
    for name, upstream in _mapping(layers.said.get("upstreams")).items():
        wanted = _mapping(upstream).get("preset", usual)
        if not isinstance(wanted, str) or not wanted:
            continue
        key = ("upstreams", name, "preset")
        place = layers.place(key)[0]
        in_file = layers.document is not None and place == layers.document.name
        try:
            preset = presets.read(wanted, file.parent if file is not None and in_file else None)
        except ValueError as error:
            problems.append(layers.problem(key, str(error)))
            continue
        found[name] = preset
        problems += preset.document.problems
    return found, problems


def _completed(
    said: Mapping[str, Any], known: Mapping[str, Preset], environ: Mapping[str, str]
) -> dict[str, Any]:
    """With `defaults` and its preset below each upstream, and the prefixes that nobody wrote."""
    # A section with nothing below its name is what is left when all its lines are commented out.
    data = {name: value for name, value in said.items() if value is not None or name == "upstreams"}
    upstreams, defaults = said.get("upstreams"), _mapping(said.get("defaults"))
    if not isinstance(upstreams, Mapping):
        return data
    data["upstreams"] = completed = {}
    for name, upstream in upstreams.items():
        whole = merged(upstream, defaults) if isinstance(upstream, Mapping) else upstream
        if isinstance(whole, Mapping) and name in known:
            below = presets.keys(known[name], environ)
            ours, theirs = whole.get("rules"), below.get("rules")
            whole = merged(whole, below)
            if isinstance(ours, list) and isinstance(theirs, list):
                whole["rules"] = [*ours, *theirs]
        if isinstance(whole, Mapping) and whole.get("prefix") is None:
            whole = {**whole, "prefix": "/" if whole.get("host") is not None else _prefix(name)}
        completed[name] = whole
    return data


def _prefix(name: str) -> str:
    return f"/{name}" if NAME.fullmatch(name) else "/"  # such a name is a problem already


def _option(key: Key) -> str:
    """The option of `leeward run` that a key of the command line was given as."""
    match key:
        case ("server", ("listen" | "admin" | "workers") as name):
            return f"--{name}"
        case ("upstreams", _, "base_url", *_):
            return "--upstream"
        case ("upstreams", _, "auth", *_):
            return "--token-env"
        case ("upstreams", _, "cache", "default_ttl"):
            return "--ttl"
        case _:
            return dotted(key)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _told(error: ValidationError, layers: _Layers) -> Iterator[Problem]:
    for one in error.errors(include_url=False):
        key, message = located(one, layers.data)
        if message == "unknown key":
            message = unknown(Settings, key, layers.data)
        match key:
            case ("upstreams", str(name), "base_url") if one["type"] == "missing":
                preset = layers.presets.get(name)
                if preset is not None:
                    message = f"is missing; preset {preset.name} leaves it to you: {preset.address}"
                elif _mapping(_mapping(layers.data.get("upstreams")).get(name)).get("preset"):
                    continue  # it would have come with the preset, which is wrong and told so
        yield layers.problem(key, message)


def _ordered(problems: list[Problem]) -> tuple[Problem, ...]:
    """Each once, in the order of the lines; the environment's and the command line's after the file's."""
    once = dict.fromkeys(problems)
    return tuple(sorted(once, key=lambda problem: (problem.line == 0, problem.line)))


def single_upstream(url: str, token_env: str | None = None, ttl: str | None = None) -> dict[str, Any]:
    """The settings that `leeward run --upstream URL` stands for; the URL is checked by `load`."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    name = re.sub(r"[^a-z0-9.-]+", "-", host.lower()).strip(".-")[:64] or "upstream"
    upstream: dict[str, Any] = {"base_url": url, "prefix": "/"}
    if token_env is not None:
        upstream["auth"] = {"type": "bearer", "token": {"env": token_env}}
    if ttl is not None:
        upstream["cache"] = {"default_ttl": ttl}
    return {"upstreams": {name: upstream}}


@cache
def schema() -> dict[str, Any]:
    """JSON Schema of the file, for editors."""
    made = Settings.model_json_schema(mode="validation")
    # `base_url` may stand in defaults, and the prefix has one of its own.
    made["$defs"]["UpstreamSettings"].pop("required", None)
    _write_defaults(made)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **made,
        "title": "Leeward configuration",
    }


def _write_defaults(node: Any) -> None:
    """Defaults as one would write them, or not at all: `5s`, not 5.0."""
    below: list[Any] = node if isinstance(node, list) else []
    if isinstance(node, dict):
        # A property may be called so itself.
        below = list(node.get("properties", {}).values())
        default = node.get("default")
        if isinstance(default, dict | list) and default:
            del node["default"]
        elif isinstance(default, float | int) and "anyOf" in node:
            node["default"] = _written(default, node["anyOf"])
        below += [value for name, value in node.items() if name != "properties"]
    for one in below:
        _write_defaults(one)


def _written(amount: float, alternatives: list[dict[str, Any]]) -> str:
    if any("KiB" in one.get("pattern", "") for one in alternatives):
        mib, rest = divmod(int(amount), 1024**2)
        return f"{mib}MiB" if not rest else f"{int(amount)}B"
    return f"{amount:g}s" if amount >= 1 or amount == 0 else f"{amount * 1000:g}ms"
