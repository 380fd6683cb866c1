"""What would become of a request, and why? `leeward explain`, without a network."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from proxy.config.loading import find, load
from proxy.config.problems import ConfigError
from proxy.core.failure import APIError
from proxy.core.message import Headers, Request, Whole

_WIDTH = 12  # of the column of headings


def explain(
    method: Annotated[str, typer.Argument(help="As in GET.")],
    path: Annotated[str, typer.Argument(help="As the app asks for it, prefix and query included.")],
    *,
    header: Annotated[
        list[str] | None,
        typer.Option("-H", "--header", help="A header that the app sends.", metavar="'K: V'"),
    ] = None,
    data: Annotated[str | None, typer.Option("-d", "--data", help="The body that the app sends.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML file. Default: ./leeward.yaml, then LEEWARD_CONFIG.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> int:
    """Say what would become of a request, and why: route, upstream, headers, cache, retries, errors.

    Nothing is sent, and no secret is shown. Exits 1 where no upstream takes the request.

    Example: leeward explain GET /github/users/octocat -H 'Accept: application/json'
    """
    try:
        request = _request(method, path, header or (), data)
        loaded = load(config or find(os.environ), {}, os.environ)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"leeward explain: {error}", file=sys.stderr)
        return 2
    from proxy.core.routing import Table
    from proxy.gateway import explanation
    from proxy.wiring import route

    salt = secrets.token_bytes(32)
    settings = loaded.settings
    table = Table(route(name, upstream, settings, salt) for name, upstream in settings.upstreams.items())
    try:
        told = asyncio.run(explanation.explain(request, table, secret=salt))
    except APIError as failure:
        if as_json:
            print(json.dumps({"error": failure.code, "detail": failure.detail}, indent=2))
        else:
            print(f"{failure.code}: {failure.detail}", file=sys.stderr)
        return 1
    print(json.dumps(told, indent=2) if as_json else "\n".join(_lines(told)))
    return 0


def _request(method: str, path: str, lines: Sequence[str], data: str | None) -> Request:
    """Raises ValueError for what is no header."""
    fields = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise ValueError(f"-H takes a name and a value, as in -H 'Accept: text/plain', not {name!r}")
        fields.append((_octets(name.strip()), _octets(value.strip())))
    headers = Headers(fields)
    return Request(
        method=method.upper(),
        target=_octets(path).decode("latin-1"),
        headers=headers,
        body=Whole(_octets(data or "")),
        host=headers.get("host") or "",
    )


def _octets(argument: str) -> bytes:
    """An argument's bytes as they were typed."""
    return argument.encode("utf-8", "surrogateescape")


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    yield f"{told['method']} {told['path']}"
    for heading, texts in _sections(told):
        for text in texts:
            yield f"{heading:<{_WIDTH}}{text}"
            heading = ""  # noqa: PLW2901 - stands beside its first line only


def _sections(told: Mapping[str, Any]) -> Iterator[tuple[str, Sequence[str]]]:
    route, rule, upstream = told["route"], told["route"]["rule"], told["upstream"]
    yield "route", [f"{route['name']}: {route['why']}"]
    yield "rule", [f"{rule['number']}, for {rule['match']}" if rule else "none"]
    yield "upstream", [upstream["url"], *(f"then {url}" for url in upstream["others"])]
    yield "credential", list(_credential(told["credential"]))
    headers = told["headers"]
    yield (
        "headers",
        [*(f"- {name}" for name in headers["removed"]), *(f"+ {line}" for line in headers["set"])],
    )
    yield "cache", list(_cache(told["cache"]))
    yield "retry", list(_retry(told["retry"]))
    times = ", ".join(f"{name} {_seconds(value)}" for name, value in told["timeout"].items())
    yield "timeout", [times]
    if told["idempotency"] is not None:
        yield "repeated", [_idempotency(told["idempotency"])]
    yield "errors", [_errors(told["errors"])]


def _credential(told: Mapping[str, Any]) -> Iterator[str]:
    yield told["name"]
    if told["replaces"]:
        yield f"in place of the caller's {', '.join(told['replaces'])}"
    if told["problem"]:
        yield f"not to be had now: {told['problem']}"


def _cache(told: Mapping[str, Any]) -> Iterator[str]:
    yield f"{told['verdict']}, {told['reason']}: {told['sentence']}"
    key, policy = told["key"], told["policy"]
    if key is None:
        return
    fields = ", ".join(key["fields"]) or "none"
    body = f", body: {key['body']}" if key["body"] else ""
    yield f"key: {key['route']}, {key['method']} {key['target']}, credential: {key['credential']}"
    yield f"key: fields: {fields}{body}"
    yield f"scope {policy['scope']}, methods {' '.join(policy['methods'])}"
    if policy["override_ttl"] is not None:
        yield f"kept for {_seconds(policy['override_ttl'])} whatever the origin says, but for no-store"
    else:
        yield f"kept for what the origin says; where it is silent, {_seconds(policy['default_ttl'])}"
    for status, ttl in policy["negative_ttl"].items():
        yield f"a {status} that says nothing is kept for {_seconds(ttl)}"


def _retry(told: Mapping[str, Any]) -> Iterator[str]:
    if told["attempts"] == 1:
        yield "one attempt"
        return
    statuses = " ".join(map(str, told["statuses"]))
    yield f"up to {told['attempts']} attempts after {statuses}, a timeout or a broken connection"
    yield f"repeats {told['repeats']}"
    waits = ", ".join(_seconds(wait) for wait in told["waits"])
    yield f"waits at most {waits}; or what Retry-After says, up to {_seconds(told['max_retry_after'])}"
    body = told["body"]
    if body["kept"] == "no":
        most = max(body["max_memory"], body["max_disk"])
        yield f"its body of {body['length']} bytes is sent once: at most {most} are kept to be sent again"
    elif body["length"]:
        yield f"its body is kept {'in memory' if body['kept'] == 'memory' else 'on disk'}, to be sent again"
    if told["idempotency_key"]:
        yield f"recognised by {told['idempotency_key']}"


def _idempotency(told: Mapping[str, Any]) -> str:
    if not told["keyed"]:
        return (
            "sent each time: it has no Idempotency-Key, or its method does nothing that could be done twice"
        )
    return f"its first answer is told again to the same Idempotency-Key for {_seconds(told['ttl'])}"


def _errors(told: Mapping[str, Any]) -> str:
    form = "a problem document" if told["document"] else "the upstream's body, with Leeward-Error"
    asked = ", which the caller's Accept asks for" if told["asked"] and told["mode"] != "translate" else ""
    return f"{told['mode']}: {form}{asked}"


def _seconds(seconds: float) -> str:
    return f"{seconds:g}s"
