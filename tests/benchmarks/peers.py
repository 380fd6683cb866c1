"""Who is measured, and what is each one told to do?

All do the same: cache what may be cached, in memory or in the page cache; inject the credential, which the
origin demands; repeat what failed; count. One process, one worker, no access log unless said. What only one
can do is left as its makers ship it.
"""

from __future__ import annotations

import contextlib
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from proxy import __version__
from tests.benchmarks.origins import CACHEABLE, FLAKY, TOKEN, WAITING, Origins, nginx
from tests.benchmarks.processes import MissingError, pinned, program, started
from tests.running import free_port

LEEWARD, NGINX, VARNISH, ENVOY = "Leeward", "nginx", "Varnish", "Envoy"
LOGGED, MANY = "Leeward, JSON access log", "Leeward, 1,000 upstreams"
UPSTREAMS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One that runs. `under` stands before each path."""

    name: str
    port: int
    pid: int
    folder: Path
    admin: int | None = None
    under: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one is started: a folder that it has for itself, its core, and what stands behind it."""

    folder: Path
    core: int
    origins: Origins


Start = Callable[[Place], contextlib.AbstractContextManager[Peer]]

_NGINX = """
    proxy_cache_path {folder}/cache keys_zone=benchmark:64m max_size=4g inactive=1d;
    upstream origin {{ server 127.0.0.1:{origin}; keepalive 512; keepalive_requests 1000000000; }}
    # It repeats only at another server: the same one again.
    upstream again {{
        server 127.0.0.1:{origin} max_fails=0;
        server 127.0.0.1:{origin} max_fails=0;
        server 127.0.0.1:{origin} max_fails=0;
        keepalive 512;
        keepalive_requests 1000000000;
    }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Authorization "Bearer {token}";
    proxy_max_temp_file_size 0;
    proxy_cache_lock on;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{ proxy_pass http://origin; }}
        location {flaky} {{ proxy_pass http://again; proxy_next_upstream error timeout http_503; }}
        {cacheable}
    }}
"""

_VARNISH = """
vcl 4.1;
backend origin {{ .host = "127.0.0.1"; .port = "{origin}"; }}
sub vcl_recv {{ if (req.url !~ "^({cacheable})") {{ return (pass); }} }}
sub vcl_backend_fetch {{ set bereq.http.Authorization = "Bearer {token}"; }}
sub vcl_backend_response {{ if (beresp.status == 503 && bereq.retries < 2) {{ return (retry); }} }}
"""


@contextlib.contextmanager
def start_nginx(place: Place) -> Iterator[Peer]:
    port = free_port()
    inside = _NGINX.format(
        folder=place.folder,
        port=port,
        origin=place.origins.fast,
        token=TOKEN,
        flaky=FLAKY,
        cacheable="\n".join(
            f"location {path} {{ proxy_pass http://origin; proxy_cache benchmark; }}"
            for path in (*CACHEABLE, WAITING)
        ),
    )
    with nginx(place.folder, place.core, port, inside) as pid:
        yield Peer(name=NGINX, port=port, pid=pid, folder=place.folder)


@contextlib.contextmanager
def start_varnish(place: Place) -> Iterator[Peer]:
    port = free_port()
    config = place.folder / "benchmark.vcl"
    cacheable = "|".join((*CACHEABLE, WAITING))
    config.write_text(_VARNISH.format(origin=place.origins.fast, cacheable=cacheable, token=TOKEN))
    where = ["-a", f"127.0.0.1:{port}", "-n", str(place.folder / "work"), "-f", str(config)]
    limits = ["-s", "malloc,4g", "-p", "thread_pools=1", "-p", "timeout_idle=75", "-p", "listen_depth=4096"]
    command = [program("varnishd"), "-j", "none", "-F", *where, *limits]
    with started(pinned(place.core, command), port, place.folder / "log") as process:
        yield Peer(name=VARNISH, port=port, pid=process.pid, folder=place.folder)


def _extension(name: str, type_: str, **more: Any) -> dict[str, Any]:
    typed = {"@type": f"type.googleapis.com/envoy.extensions.{type_}", **more}
    return {"name": f"envoy.filters.{name}", "typed_config": typed}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _envoy(origin: int, port: int) -> dict[str, Any]:
    """The credential is put in on the way out: its cache keeps nothing that was asked for with one.

    What is never stored goes past its cache, as nginx's does: what goes through that is not repeated.
    """
    credential = {"header": {"key": "Authorization", "value": f"Bearer {TOKEN}"}}
    mutation = {"append": {**credential, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}
    outwards = _extension(
        "outwards",
        "upstreams.http.v3.HttpProtocolOptions",
        explicit_http_config={"http_protocol_options": {}},
        http_filters=[
            _extension(
                "http.header_mutation",
                "filters.http.header_mutation.v3.HeaderMutation",
                mutations={"request_mutations": [mutation]},
            ),
            _extension("http.upstream_codec", "filters.http.upstream_codec.v3.UpstreamCodec"),
        ],
    )["typed_config"]
    ends = [{"lb_endpoints": [{"endpoint": {"address": _address(origin)}}]}]
    most = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests", "max_retries"), 10**6)
    cluster = {
        "name": "origin",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "origin", "endpoints": ends},
        "circuit_breakers": {"thresholds": [most]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": outwards
        },
    }
    waits = {"base_interval": "0.2s", "max_interval": "10s"}  # as Leeward's
    retry = {"retry_on": "5xx,reset,connect-failure", "num_retries": 2, "retry_back_off": waits}
    route = {"cluster": "origin", "timeout": "60s", "retry_policy": retry}
    past = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}
    ways = [
        *({"match": {"prefix": path}, "route": route} for path in (*CACHEABLE, WAITING)),
        {
            "match": {"prefix": "/"},
            "route": route,
            "typed_per_filter_config": {"envoy.filters.http.cache": past},
        },
    ]
    memory = {
        "@type": "type.googleapis.com/envoy.extensions.http.cache.simple_http_cache.v3.SimpleHttpCacheConfig"
    }
    manager = _extension(
        "network.http_connection_manager",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="http",
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": ways}]},
        http_filters=[
            _extension("http.cache", "filters.http.cache.v3.CacheConfig", typed_config=memory),
            _extension("http.router", "filters.http.router.v3.Router"),
        ],
    )
    listener = {"address": _address(port), "filter_chains": [{"filters": [manager]}]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


@contextlib.contextmanager
def start_envoy(place: Place) -> Iterator[Peer]:
    port = free_port()
    config = place.folder / "envoy.yaml"
    config.write_text(yaml.safe_dump(_envoy(place.origins.fast, port)))
    command = [
        program("envoy"),
        "-c",
        str(config),
        "--concurrency",
        "1",
        "--disable-hot-restart",
        "-l",
        "error",
    ]
    with started(pinned(place.core, command), port, place.folder / "log") as process:
        yield Peer(name=ENVOY, port=port, pid=process.pid, folder=place.folder)


def leeward_command(
    folder: Path, origins: Origins, *, upstreams: int = 1, logged: bool = False, room: str = "256MiB"
) -> tuple[list[str], int, int]:
    """How Leeward is started, its port, and its admin port; writes its configuration."""
    port, admin = free_port(), free_port()
    bearer = {"type": "bearer", "token": TOKEN}
    to = f"http://127.0.0.1:{origins.fast}"
    settings = {
        "server": {"listen": f"127.0.0.1:{port}", "admin": f"127.0.0.1:{admin}"},
        "cache": {"max_bytes": room},
        "log": {"access": logged, "level": "info" if logged else "warning", "format": "json"},
        "upstreams": {
            **{f"other{number}": {"base_url": to, "auth": bearer} for number in range(upstreams - 1)},
            "api": {"base_url": to, "prefix": "/", "auth": bearer},
        },
    }
    config = folder / "leeward.yaml"
    config.write_text(yaml.safe_dump(settings, sort_keys=False))
    return [sys.executable, "-m", "proxy", "run", "--config", str(config)], port, admin


def leeward(name: str = LEEWARD, *, upstreams: int = 1, logged: bool = False, room: str = "256MiB") -> Start:
    """Leeward as an app has it, with so many upstreams, its access log in a file or off, and so much room."""

    @contextlib.contextmanager
    def start(place: Place) -> Iterator[Peer]:
        command, port, admin = leeward_command(
            place.folder, place.origins, upstreams=upstreams, logged=logged, room=room
        )
        with started(pinned(place.core, command), port, place.folder / "log") as process:
            yield Peer(name=name, port=port, pid=process.pid, folder=place.folder, admin=admin)

    return start


PEERS: dict[str, Start] = {
    LEEWARD: leeward(),
    NGINX: start_nginx,
    VARNISH: start_varnish,
    ENVOY: start_envoy,
    LOGGED: leeward(LOGGED, logged=True),
    MANY: leeward(MANY, upstreams=UPSTREAMS),
}


def versions() -> dict[str, str]:
    """Of each program that is installed; what the benchmark cannot do without raises MissingError."""
    # The interpreter, too: one that was compiled with profiles of use serves a fifth more than one without.
    told = {LEEWARD: f"{__version__} on {platform.python_implementation()} {platform.python_version()}"}
    for name, command in (
        (NGINX, ["nginx", "-v"]),
        (VARNISH, ["varnishd", "-V"]),
        (ENVOY, ["envoy", "--version"]),
    ):
        try:
            found = subprocess.run(
                [program(command[0]), command[1]], capture_output=True, text=True, check=False
            )
        except MissingError:
            continue
        number = re.search(
            r"\b\d+\.\d+(?:\.\d+)*", re.sub(r"\b[0-9a-f]{40}\b", "", found.stdout + found.stderr)
        )
        told[name] = number.group() if number else "?"
    return told
