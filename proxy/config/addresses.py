"""Where to listen, and where to go: which addresses and URLs are well formed?"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator, PlainSerializer, PlainValidator, WithJsonSchema

from proxy.core.expression import expression
from proxy.core.routing import Origin
from proxy.core.value import dataclass

_WANTED = "127.0.0.1:8080, '[::1]:8080' or unix:/run/leeward.sock"
_NAME = expression(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?", re.ASCII)
_DIGITS_AND_DOTS = expression(r"[0-9.]+", re.ASCII)
_HIGHEST_PORT = 65535
MOST_ENDPOINTS = 8  # each is a series of a metric
_LONGEST_SOCKET_PATH = 103  # bytes, the least of the systems' sun_path without its NUL
_PATH = expression(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*", re.ASCII)
_DOTS = expression(r"/(?:\.|%2e){1,2}(?=/|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A TCP host and port, or the path of a Unix socket. Port 0 = any free one."""

    host: str = ""
    port: int = 0
    path: str | None = None

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address(written: Any) -> Address:
    """`host:port`, `[::1]:port` or `unix:/path`. Raises ValueError."""
    if isinstance(written, Address):
        return written
    if isinstance(written, bool) or not isinstance(written, str | int):
        raise ValueError(f"should be an address such as {_WANTED}")  # noqa: TRY004 - pydantic's rule
    text = str(written).strip()
    if text.isascii() and text.isdigit():
        raise ValueError(f"{text} has no host; write 127.0.0.1:{text}")
    if text.startswith("unix:"):
        return _socket(text.removeprefix("unix:"))
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > _HIGHEST_PORT:
        cure = f"write {text}:8080" if not colon and _NAME.fullmatch(text.lower()) else f"write {_WANTED}"
        raise ValueError(f"{text!r} has no port from 0 to {_HIGHEST_PORT}; {cure}")
    if not host:
        raise ValueError(
            f"{text!r} has no host; write 127.0.0.1:{port}, or 0.0.0.0:{port} for every interface"
        )
    return Address(host=_host(host, text), port=int(port))


def _socket(path: str) -> Address:
    if not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise ValueError(f"'unix:{path}' is not a socket's absolute path; write unix:/run/leeward.sock")
    if len(path.encode()) > _LONGEST_SOCKET_PATH:
        raise ValueError(f"a socket's path has at most {_LONGEST_SOCKET_PATH} bytes; choose a shorter one")
    return Address(path=path)


def _host(written: str, whole: str) -> str:
    """A host without brackets, in lower case. Raises ValueError."""
    host = written.lower()
    if host.startswith("[") and host.endswith("]"):
        try:
            return str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            raise ValueError(
                f"{whole!r} has no valid IPv6 address in its brackets; write as in [::1]"
            ) from None
    if ":" in host:
        raise ValueError(f"{whole!r} holds an IPv6 address without brackets; write as in [::1]")
    if not host.isascii():
        raise ValueError(f"{whole!r} has a host name beyond ASCII; write its xn--… form")
    if _DIGITS_AND_DOTS.fullmatch(host):
        # 127.1 and 0177.0.0.1 mean different hosts to different libraries.
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise ValueError(
                f"{whole!r} has no valid IPv4 address; write four numbers as in 127.0.0.1"
            ) from None
    if not _NAME.fullmatch(host):
        raise ValueError(f"{whole!r} has no valid host name; write as in localhost or api.example.com")
    return host


def origin(written: Any) -> Origin:
    """A base URL taken apart. Raises ValueError, which quotes no more than scheme and host."""
    if isinstance(written, Origin):
        return written
    if not isinstance(written, str):
        raise ValueError("should be a URL such as https://api.example.com")  # noqa: TRY004 - pydantic's rule
    text = _unexpanded(written.strip())
    scheme, separator, rest = text.partition("://")
    authority = re.split(r"[/?#\\]", rest if separator else text, maxsplit=1)[0]
    if "@" in authority:
        raise ValueError("a base URL holds no user name or password; write them under auth")
    shown = f"{scheme}://{authority}" if separator else authority
    if scheme.lower() not in {"http", "https"}:
        raise ValueError(
            f"{shown!r} is not http:// or https://; write https://{authority or 'api.example.com'}"
        )
    if not separator:
        raise ValueError(f"{shown!r} has no host; write as in https://api.example.com")
    if "?" in rest or "#" in rest:
        raise ValueError("a base URL has no query and no fragment; end it before the ? or #")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        port = 0
    if port == 0 or not parts.hostname or authority.endswith(":"):
        raise ValueError(f"{shown!r} has no valid host and port; write as in https://api.example.com:8443")
    host = _host(f"[{parts.hostname}]" if authority.startswith("[") else parts.hostname, shown)
    path = parts.path.rstrip("/")
    if not _PATH.fullmatch(path) or _DOTS.search(path):
        raise ValueError(
            f"the path after {shown} is not plain; write segments as in https://api.example.com/v1"
        )
    usual = 443 if scheme.lower() == "https" else 80
    return Origin(scheme=scheme.lower(), host=host, port=port or usual, path=path)


def _unexpanded(text: str) -> str:
    if "${" in text:
        cure = "write the URL, or set LEEWARD_UPSTREAMS__NAME__BASE_URL"
        raise ValueError(f"variables are not expanded here; {cure}")
    return text


def origins(written: Any) -> tuple[Origin, ...]:
    """One base URL, or a list of them. Raises ValueError."""
    several = written if isinstance(written, list | tuple) else [written]
    if not several:
        raise ValueError("is an empty list; write at least one URL such as https://api.example.com")
    found = tuple(origin(one) for one in several)
    if len(found) > MOST_ENDPOINTS:
        raise ValueError(f"names {len(found)} URLs; {MOST_ENDPOINTS} is the most")
    if len(set(found)) != len(found):
        raise ValueError("names the same URL twice; list each once")
    return found


def prefix(written: Any) -> str:
    """A path prefix: `/`, or segments without a slash at the end. Raises ValueError."""
    if not isinstance(written, str):
        raise ValueError("should be a path such as /github")  # noqa: TRY004 - pydantic's rule
    if written == "/":
        return written
    if not written.startswith("/"):
        raise ValueError(f"{written!r} does not start with a slash; write /{written.strip('/')}")
    if written.endswith("/"):
        raise ValueError(f"{written!r} ends with a slash; write {written.rstrip('/') or '/'}")
    if _DOTS.search(written):
        raise ValueError(f"{written!r} holds a dot segment; write the path without . and ..")
    if not _PATH.fullmatch(written):
        raise ValueError(f"{written!r} is not a plain path; write segments as in /github or /apis/github")
    return written


def host_name(written: Any) -> str:
    """A name to compare with the request's Host: lower-case, no port. Raises ValueError."""
    if not isinstance(written, str):
        raise ValueError("should be a host name such as github.internal")  # noqa: TRY004 - pydantic's rule
    text = written.strip()
    if text.count(":") == 1:
        raise ValueError(f"{text!r} has a port; requests match by name alone: write {text.partition(':')[0]}")
    host = _host(text, text)
    return f"[{host}]" if ":" in host else host


_URL = {
    "type": "string",
    "pattern": "^[hH][tT][tT][pP][sS]?://[^/?#@]+[^?#]*$",
    "examples": ["https://api.example.com"],
}
ListenAddress = Annotated[
    Address,
    PlainValidator(address),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(
        {"type": "string", "pattern": "^(?:unix:/.+|.+:[0-9]{1,5})$", "examples": ["127.0.0.1:8080"]}
    ),
]
BaseUrls = Annotated[
    tuple[Origin, ...],
    PlainValidator(origins),
    PlainSerializer(lambda found: [one.url for one in found], return_type=list[str]),
    WithJsonSchema(
        {"anyOf": [_URL, {"type": "array", "items": _URL, "minItems": 1, "maxItems": 8, "uniqueItems": True}]}
    ),
]
Prefix = Annotated[
    str,
    BeforeValidator(prefix),
    WithJsonSchema({"type": "string", "pattern": "^(?:/|(?:/[^/?#]+)+)$", "examples": ["/github"]}),
]
HostName = Annotated[
    str, BeforeValidator(host_name), WithJsonSchema({"type": "string", "examples": ["github.internal"]})
]
