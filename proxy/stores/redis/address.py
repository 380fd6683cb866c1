"""Where is the Redis to use, and how is it spoken to? What the operator wrote, without the library."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum

from proxy.core.ports import Secret
from proxy.core.value import dataclass


class Kind(StrEnum):
    """How one gets from an address to the server that takes writes."""

    SERVER = "redis"
    SOCKET = "redis+unix"
    SENTINEL = "redis+sentinel"
    CLUSTER = "redis+cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """PEM files for TLS: an authority to trust beside the system's, and our certificate with its key."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAddress:
    """`hosts` are servers, sentinels or nodes; `name` is the primary's name at the sentinels.

    Secrets are asked for at each connection, so a rotated one is used by the next. `tls` None = plain. All
    names begin with `prefix`, an answer is waited for `timeout` seconds, and no larger entry is kept.
    """

    kind: Kind = Kind.SERVER
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    database: int = 0
    name: str = ""
    username: str = ""
    password: Secret | None = field(default=None, repr=False)
    sentinel_password: Secret | None = field(default=None, repr=False)
    tls: Files | None = None
    prefix: str = "leeward"
    timeout: float = 0.25
    max_entry_bytes: int = 1024 * 1024

    def __str__(self) -> str:
        """For logs: where it is, and nothing secret."""
        if self.kind is Kind.SOCKET:
            return f"{self.kind}://{self.path}"
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        scheme = self.kind.replace("redis", "rediss", 1) if self.tls is not None else self.kind
        return f"{scheme}://{hosts}" + (f"/{self.name}" if self.name else "")
