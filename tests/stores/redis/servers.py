"""How are real Redis servers started, hurt and stopped in a test?

All listen on loopback, keep nothing on disk, and end with the test that started them.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.origin import PATIENCE
from tests.running import free_port

_SLOTS = 16384


class RedisServer:
    """One redis-server. `options` are those of its command line, without dashes."""

    def __init__(self, folder: Path, *, port: int | None = None, **options: Any) -> None:
        self.port = free_port() if port is None else port
        self.folder = folder / f"redis-{self.port}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "save": "",
            "appendonly": "no",
            "dir": self.folder,
            "daemonize": "no",
            "logfile": self.folder / "log",
            **{name.replace("_", "-"): value for name, value in options.items()},
        }
        self.process: subprocess.Popen[bytes]
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Starts it, or starts it again, and waits until it answers."""
        program = shutil.which("redis-server")
        assert program is not None, "redis-server is needed; .ci/test installs it"
        words = [str(word) for name, value in self._options.items() for word in (f"--{name}", value)]
        self.process = subprocess.Popen(
            [program, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        limit = time.monotonic() + PATIENCE
        while time.monotonic() < limit:
            with contextlib.suppress(redis.RedisError, OSError), self.client() as client:
                client.ping()
                return
            assert self.process.poll() is None, (self.folder / "log").read_text(errors="replace")
            time.sleep(0.01)
        raise AssertionError("redis-server does not answer")

    def client(self, **options: Any) -> redis.Redis:
        """For the test itself."""
        if "requirepass" in self._options:
            options.setdefault("password", self._options["requirepass"])
        port = int(self._options["port"])
        if "unixsocket" in self._options and not port:
            return redis.Redis(unix_socket_path=str(self._options["unixsocket"]), protocol=2, **options)
        if not port:
            authority = str(self._options["tls-ca-cert-file"])
            options |= {"ssl": True, "ssl_ca_certs": authority, "port": int(self._options["tls-port"])}
        retry = Retry(NoBackoff(), 0)
        return redis.Redis(**{"host": "127.0.0.1", "port": port, "protocol": 2, "retry": retry, **options})

    def ask(self, *command: Any) -> Any:
        with self.client() as client:
            return client.execute_command(*command)

    def names(self, pattern: str = "*") -> list[str]:
        with self.client() as client:
            return sorted(name.decode() for name in client.scan_iter(pattern))

    def pause(self) -> None:
        """It stops answering, and keeps its connections."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)
        self.kill()


class RedisCluster:
    """Three nodes, each with a third of the slots."""

    def __init__(self, folder: Path, *, nodes: int = 3) -> None:
        self.nodes: list[RedisServer] = []
        try:
            for _ in range(nodes):
                self.nodes.append(
                    RedisServer(
                        folder, cluster_enabled="yes", cluster_port=free_port(), repl_diskless_sync="no"
                    )
                )
            self._meet()
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def _meet(self) -> None:
        share = -(-_SLOTS // len(self.nodes))
        for number, node in enumerate(self.nodes):
            last = min(_SLOTS, (number + 1) * share) - 1
            node.ask("CLUSTER", "ADDSLOTSRANGE", number * share, last)
        first = self.nodes[0]
        for other in self.nodes[1:]:
            bus = other._options["cluster-port"]
            first.ask("CLUSTER", "MEET", "127.0.0.1", other.port, bus)
        limit = time.monotonic() + PATIENCE
        while not all(self._ready(node) for node in self.nodes):
            assert time.monotonic() < limit, "the nodes do not become a cluster"
            time.sleep(0.05)

    def _ready(self, node: RedisServer) -> bool:
        with node.client() as client:
            told = client.execute_command("CLUSTER INFO")
            slots = client.execute_command("CLUSTER SLOTS")
        state = told if isinstance(told, Mapping) else {}
        return state.get("cluster_state") == "ok" and len(slots) == len(self.nodes)

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()


class Sentinels:
    """A primary, its replica, and one sentinel that makes the replica primary after two seconds."""

    name = "house"

    def __init__(self, folder: Path) -> None:
        self.servers: list[RedisServer] = []
        try:
            self.primary = self._add(RedisServer(folder))
            self.replica = self._add(RedisServer(folder, replicaof=f"127.0.0.1 {self.primary.port}"))
            self._linked()
            self.sentinel = self._add(_sentinel(folder, self.name, self.primary.port))
            self._known()
        except BaseException:
            self.stop()
            raise

    def _add(self, server: RedisServer) -> RedisServer:
        self.servers.append(server)
        return server

    def _linked(self) -> None:
        limit = time.monotonic() + PATIENCE
        while self.replica.ask("INFO", "replication").get("master_link_status") != "up":
            assert time.monotonic() < limit, "the replica does not follow"
            time.sleep(0.05)

    def _known(self) -> None:
        limit = time.monotonic() + PATIENCE
        while not self.sentinel.ask("SENTINEL", "REPLICAS", self.name):
            assert time.monotonic() < limit, "the sentinel does not know the replica"
            time.sleep(0.05)

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.sentinel.port}/{self.name}"

    def stop(self) -> None:
        for server in reversed(self.servers):
            server.stop()


def _sentinel(folder: Path, name: str, port: int) -> RedisServer:
    file = folder / "sentinel.conf"
    lines = [
        f"sentinel monitor {name} 127.0.0.1 {port} 1",
        f"sentinel down-after-milliseconds {name} 2000",
        f"sentinel failover-timeout {name} 2000",
    ]
    file.write_text("\n".join(lines) + "\n")
    return _SentinelServer(folder, file)


class _SentinelServer(RedisServer):
    def __init__(self, folder: Path, file: Path) -> None:
        self._file = file
        super().__init__(folder)

    def start(self) -> None:
        self._options = {"sentinel": "", **self._options}
        for name in ("save", "appendonly"):
            self._options.pop(name, None)
        program = shutil.which("redis-server")
        assert program is not None, "redis-server is needed; .ci/test installs it"
        words = [str(word) for n, v in self._options.items() if n != "sentinel" for word in (f"--{n}", v)]
        self.process = subprocess.Popen(
            [program, str(self._file), *words, "--sentinel"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        limit = time.monotonic() + PATIENCE
        while time.monotonic() < limit:
            with contextlib.suppress(redis.RedisError, OSError), self.client() as client:
                client.ping()
                return
            assert self.process.poll() is None, (self.folder / "log").read_text(errors="replace")
            time.sleep(0.01)
        raise AssertionError("the sentinel does not answer")


class Relay:
    """A way to a server that can be cut: bytes no longer pass, and nobody is told."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._cut = threading.Event()
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._one = threading.Lock()  # a connection that comes at the end is closed too
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def cut(self) -> None:
        self._cut.set()

    def mend(self) -> None:
        self._cut.clear()

    def turn(self, port: int) -> None:
        """Leads to another server; connections break."""
        self._to = port
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        with self._one:
            self._ended.set()
        for one in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._to), timeout=PATIENCE)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            with self._one:
                if self._ended.is_set():
                    near.close()
                    far.close()
                    return
                self._sockets += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                while self._cut.is_set() and not self._ended.is_set():
                    time.sleep(0.01)
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def stopped(servers: Iterable[RedisServer | RedisCluster | Sentinels | Relay]) -> None:
    for server in servers:
        server.stop()
