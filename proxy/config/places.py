"""Where is the cache kept? `cache.store` as it is written, and what each form means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from proxy.config.redis import EXAMPLE, PATTERN, SCHEMES, located
from proxy.core.value import dataclass
from proxy.stores.redis.address import RedisAddress

_FOLDER = "disk:///var/cache/leeward"
PLACES = f"^(memory://|disk:///.+|{PATTERN})$"  # for editors


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """In this process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """In a folder of this machine."""

    path: Path


Place = Memory | Disk | RedisAddress


def place(written: str) -> Place:
    """`memory://`, `disk:///folder`, or a URL of Redis. Raises ValueError, which quotes no URL of Redis."""
    scheme, mark, rest = written.partition("://")
    if written == "memory://":
        return Memory()
    if scheme == "memory" or written == "memory":
        raise ValueError("memory has no address; write memory://")
    if scheme in SCHEMES and mark:
        return located(scheme, rest)
    if scheme.partition(":")[0] in {"redis", "rediss", "valkey", "valkeys"}:
        raise ValueError(f"a Redis or Valkey is written as in {EXAMPLE}")
    if scheme == "disk" and mark:
        return Disk(path=_folder(rest))
    if scheme == "file" or written.startswith(("/", "./", "~", "disk:")):
        raise ValueError(f"a folder is written with disk:// before its absolute path; write {_FOLDER}")
    raise ValueError(f"is not a store that is known; write memory://, {_FOLDER} or {EXAMPLE}")


def known(written: Any) -> Any:
    """For pydantic: what is written, where it is a place. Raises ValueError."""
    place(str(written))
    return written


def _folder(path: str) -> Path:
    if not path.startswith("/"):
        raise ValueError(f"disk:// takes an absolute path, with three slashes in all; write {_FOLDER}")
    if not path.strip("/") or "\0" in path or ".." in path.split("/"):
        raise ValueError(f"disk:// takes a folder of its own; write {_FOLDER}")
    return Path(path)
