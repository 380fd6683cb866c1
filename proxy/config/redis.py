"""Which Redis does `cache.store` name, and what else is said of it?

The law: a URL names places and nothing secret. User, password and certificates stand in `cache.redis`, where
a secret may come from the environment or a file; a URL that holds one is refused without being quoted.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator

from proxy.config.addresses import address
from proxy.config.routes import MIB, Section, UpstreamTLS
from proxy.config.secrets import Secret
from proxy.config.units import Size
from proxy.config.words import Wait
from proxy.core.expression import expression
from proxy.stores.redis.address import Files, Kind, RedisAddress

EXAMPLE = "redis://127.0.0.1:6379/0"
SCHEMES = {
    "redis": (Kind.SERVER, False),
    "rediss": (Kind.SERVER, True),
    "redis+cluster": (Kind.CLUSTER, False),
    "rediss+cluster": (Kind.CLUSTER, True),
    "redis+sentinel": (Kind.SENTINEL, False),
    "rediss+sentinel": (Kind.SENTINEL, True),
    "redis+unix": (Kind.SOCKET, False),
    "unix": (Kind.SOCKET, False),
}
PATTERN = r"(?:rediss?(?:\+(?:cluster|sentinel))?|redis\+unix|unix)://[^@]+"
_EXAMPLES = {
    Kind.SERVER: EXAMPLE,
    Kind.CLUSTER: "redis+cluster://10.0.0.1:6379,10.0.0.2:6379",
    Kind.SENTINEL: "redis+sentinel://10.0.0.1:26379,10.0.0.2:26379/NAME",
    Kind.SOCKET: "redis+unix:///run/redis/redis.sock",
}
_PORTS = {Kind.SENTINEL: 26379}
_USUAL_PORT = 6379
_DATABASE = expression(r"[0-9]{1,4}", re.ASCII)
_NAME = expression(r"[A-Za-z0-9._-]+", re.ASCII)


class RedisSettings(Section):
    """What a URL of Redis does not say."""

    username: Annotated[str, Field(pattern=r"^[^\s:]+$")] | None = None
    password: Secret | None = None
    sentinel_password: Secret | None = None
    tls: UpstreamTLS | None = None
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,64}$")] = "leeward"
    timeout: Wait = 0.25
    max_entry_bytes: Size = 1 * MIB

    @field_validator("password")
    @classmethod
    def _of_somebody(cls, password: Any, info: ValidationInfo) -> Any:
        if password is None and info.data.get("username") is not None:
            raise ValueError("is missing beside username; write {env: NAME} or {file: PATH}")
        return password


def located(scheme: str, rest: str) -> RedisAddress:
    """Of what stands before and after `://`, without what `cache.redis` says. Raises ValueError."""
    kind, secured = SCHEMES[scheme]
    example = _EXAMPLES[kind]
    if "@" in rest:
        raise ValueError("holds a user or password; write them as username and password under cache.redis")
    if "#" in rest or ("?" in rest and kind is not Kind.SOCKET):
        raise ValueError(f"takes nothing after ? or #; write as in {example}")
    if kind is Kind.SOCKET:
        return _socket(rest)
    authority, _, path = rest.partition("/")
    hosts = tuple(_host(one, kind) for one in authority.split(","))
    name, database = "", 0
    if kind is Kind.SENTINEL:
        name, _, path = path.partition("/")
        if not _NAME.fullmatch(name):
            raise ValueError(f"lacks the name under which the sentinels know the primary; write {example}")
    elif kind is Kind.SERVER and len(hosts) > 1:
        several = f"{scheme}+cluster:// or {scheme}+sentinel://"
        raise ValueError(f"names several hosts; write {several} for what they are")
    if path and kind is Kind.CLUSTER:
        raise ValueError(f"names a database, and a cluster has one only; write {example}")
    if path:
        if not _DATABASE.fullmatch(path):
            raise ValueError(f"has no number of a database after its last slash; write {example}")
        database = int(path)
    return RedisAddress(
        kind=kind, hosts=hosts, database=database, name=name, tls=Files() if secured else None
    )


def address_of(found: RedisAddress, said: RedisSettings) -> RedisAddress:
    """The place together with what `cache.redis` says."""
    files = said.tls
    tls = found.tls if files is None else Files(ca=files.ca, cert=files.cert, key=files.key)
    return RedisAddress(
        kind=found.kind,
        hosts=found.hosts,
        path=found.path,
        database=found.database,
        name=found.name,
        username=said.username or "",
        password=said.password,
        sentinel_password=said.sentinel_password,
        tls=tls if found.kind is not Kind.SOCKET else None,
        prefix=said.prefix,
        timeout=said.timeout,
        max_entry_bytes=said.max_entry_bytes,
    )


def _host(written: str, kind: Kind) -> tuple[str, int]:
    port = _PORTS.get(kind, _USUAL_PORT)
    if not written:
        raise ValueError(f"lacks a host; write {_EXAMPLES[kind]}")
    bare = ":" not in written or written.endswith("]")
    try:
        found = address(f"{written}:{port}" if bare else written)
    except ValueError:
        raise ValueError(f"has no valid host and port; write as in {_EXAMPLES[kind]}") from None
    if found.path is not None or found.port == 0:
        raise ValueError(f"has no valid host and port; write as in {_EXAMPLES[kind]}")
    return found.host, found.port


def _socket(rest: str) -> RedisAddress:
    path, mark, query = rest.partition("?")
    name, _, number = query.partition("=")
    if not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise ValueError(f"is not a socket's absolute path; write {_EXAMPLES[Kind.SOCKET]}")
    if mark and (name != "db" or not _DATABASE.fullmatch(number)):
        raise ValueError(f"takes a database as ?db=1; write {_EXAMPLES[Kind.SOCKET]}?db=1")
    return RedisAddress(kind=Kind.SOCKET, path=path, database=int(number) if mark else 0)
