"""Which proxies written in Python are asked too, and how is each one set?

They are not installed beside Leeward, whose libraries they would replace: each option names a virtual
environment that has one or more of them. They have no cache that HTTP rules; what they do, and are asked for,
is to pass a request on with the credential. Logs off, one process, otherwise as their makers ship them.
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.benchmarks.origins import FRESH, TOKEN
from tests.benchmarks.peers import Peer, Place, Start
from tests.benchmarks.processes import pinned, started
from tests.running import free_port

NYAPROXY, MITMPROXY, LITELLM = "NyaProxy", "mitmproxy", "LiteLLM"
_BEARER = f"Bearer {TOKEN}"
Command = Callable[[Path, int, Place], list[str]]


def _nyaproxy(program: Path, port: int, place: Place) -> list[str]:
    api = {
        "name": "Benchmark",
        "endpoint": f"http://127.0.0.1:{place.origins.fast}",
        "headers": {"Authorization": "Bearer ${{keys}}"},
        "key_variable": "keys",
        "variables": {"keys": [TOKEN]},
    }
    defaults = {"key_variable": "keys", "rate_limit": {"enabled": False}, "retry": {"enabled": True}}
    server = {"api_key": None, "logging": {"enabled": False}, "dashboard": {"enabled": False}}
    config = _written(place, {"server": server, "default_settings": defaults, "apis": {"benchmark": api}})
    return [str(program), "--config", config, "--host", "127.0.0.1", "--port", str(port), "--no-reload"]


def _mitmproxy(program: Path, port: int, place: Place) -> list[str]:
    to = ["--mode", f"reverse:http://127.0.0.1:{place.origins.fast}", "--listen-host", "127.0.0.1"]
    settings = [f"modify_headers=/~q/Authorization/{_BEARER}", f"confdir={place.folder}", "flow_detail=0"]
    each = [word for setting in settings for word in ("--set", setting)]
    return [str(program), "--quiet", *to, "--listen-port", str(port), *each]


def _litellm(program: Path, port: int, place: Place) -> list[str]:
    way = {
        "path": FRESH,
        "target": f"http://127.0.0.1:{place.origins.fast}{FRESH}",
        "headers": {"Authorization": _BEARER},
    }
    config = _written(
        place,
        {
            "general_settings": {
                "pass_through_endpoints": [way],
                "dangerously_permit_weak_or_unset_master_key": True,
            }
        },
    )
    return [str(program), "--config", config, "--host", "127.0.0.1", "--port", str(port)]


_KNOWN: dict[str, tuple[str, str, str, Command]] = {
    NYAPROXY: ("nyaproxy", "nya-proxy", "/api/benchmark", _nyaproxy),
    MITMPROXY: ("mitmdump", "mitmproxy", "", _mitmproxy),
    LITELLM: ("litellm", "litellm", "", _litellm),
}


def guests(environments: Sequence[Path]) -> dict[str, Start]:
    """Those that are installed in these virtual environments."""
    return {
        name: functools.partial(_start, name, folder / "bin" / program, under, command)
        for folder in environments
        for name, (program, _, under, command) in _KNOWN.items()
        if (folder / "bin" / program).exists()
    }


def versions(environments: Sequence[Path]) -> dict[str, str]:
    """Of each of them."""
    told = {}
    for folder in environments:
        for name, (program, package, _, _) in _KNOWN.items():
            if (folder / "bin" / program).exists():
                ask = f"from importlib.metadata import version; print(version({package!r}))"
                command = [str(folder / "bin" / "python"), "-c", ask]
                told[name] = subprocess.run(
                    command, capture_output=True, text=True, check=True
                ).stdout.strip()
    return told


@contextlib.contextmanager
def _start(name: str, program: Path, under: str, command: Command, place: Place) -> Iterator[Peer]:
    port = free_port()
    own = {"PYTHONPATH": "", "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}
    whole = pinned(place.core, command(program, port, place))
    with started(whole, port, place.folder / "log", own) as process:
        yield Peer(name=name, port=port, pid=process.pid, folder=place.folder, under=under)


def _written(place: Place, settings: dict[str, Any]) -> str:
    config = place.folder / "config.yaml"
    config.write_text(yaml.safe_dump(settings))
    return str(config)
