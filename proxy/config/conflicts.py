"""What is well formed by itself, but not beside something else?

Two upstreams in one place, two listeners on one port, an upstream that is this proxy itself, several workers
where each would have to know what another did.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from proxy.config.addresses import Address, address, host_name, origins
from proxy.config.problems import Key
from proxy.core.expression import expression

NAME = expression(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # an upstream's
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_EVERYWHERE = frozenset({"0.0.0.0", "::"})
_ADDRESSES = {"listen": "127.0.0.1:8080", "admin": "127.0.0.1:9464"}


def conflicts(data: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    """What is well formed by itself, but not beside something else."""
    taken: dict[tuple[str | None, str], str] = {}
    for name, upstream in _mapping(data.get("upstreams")).items():
        prefix, host = _mapping(upstream).get("prefix"), _mapping(upstream).get("host")
        if not isinstance(prefix, str) or not NAME.fullmatch(name):
            continue  # wrong by itself, and told so
        try:
            host = None if host is None else host_name(host)
        except ValueError:
            continue
        other = taken.setdefault((host, prefix), name)
        if other != name:
            where = f"prefix {prefix}" + (f" of host {host}" if host else "")
            yield (
                ("upstreams", name, "prefix"),
                f"{where} is taken by upstream {other}; give one of them another",
            )
    server = _mapping(data.get("server"))
    if str(server.get("workers") or 1) != "1":
        yield from _of_workers(data)
    try:
        listen, admin = (address(server.get(key) or usual) for key, usual in _ADDRESSES.items())
    except ValueError:
        return
    both_ports = listen.path is None and admin.path is None
    for name, upstream in _mapping(data.get("upstreams")).items():
        if _leads_back(_mapping(upstream).get("base_url"), listen):
            message = "is server.listen itself, so each request would come back; write the API's address"
            yield ("upstreams", name, "base_url"), message
    if listen.port == admin.port != 0 if both_ports else listen == admin:
        what = f"port {admin.port}" if admin.path is None else "socket"
        yield ("server", "admin"), f"is on the same {what} as server.listen; give it another"


def _of_workers(data: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    """What only one worker can do."""
    for name in _unshared(data):
        yield (
            ("upstreams", name, "auth", "refresh_token"),
            (
                "several workers would each exchange it, and a provider that replaces it takes the second "
                "for a thief; write state_file: PATH beside it"
            ),
        )
    if _idempotent(data):
        yield (
            ("server", "workers"),
            (
                "each worker would know the Idempotency-Keys of its own callers alone; "
                "write 1, or take `idempotency` out of all upstreams"
            ),
        )


def _unshared(data: Mapping[str, Any]) -> Iterator[str]:
    """The upstreams whose refresh token no worker would hear of from another."""
    for name, upstream in _mapping(data.get("upstreams")).items():
        auth = _mapping(upstream).get("auth")
        for one in auth if isinstance(auth, list) else [auth]:
            said = _mapping(one)
            if said.get("refresh_token") is not None and said.get("state_file") is None:
                yield name


def _idempotent(data: Mapping[str, Any]) -> bool:
    """Whether repeated requests are known by their keys anywhere."""
    for upstream in _mapping(data.get("upstreams")).values():
        rules = _mapping(upstream).get("rules")
        places = [upstream, *(rules if isinstance(rules, list) else ())]
        if any(_mapping(place).get("idempotency") is not None for place in places):
            return True
    return False


def _leads_back(base_url: Any, listen: Address) -> bool:
    """Whether one of these URLs is where we listen; loopback's names are alike, 0.0.0.0 is each of them."""
    if listen.path is not None or listen.port == 0:
        return False
    try:
        targets = origins(base_url)
    except ValueError:
        return False
    ours = _LOOPBACK if listen.host in _LOOPBACK or listen.host in _EVERYWHERE else {listen.host}
    return any(target.port == listen.port and target.host in {*ours, *_EVERYWHERE} for target in targets)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
