"""Does `leeward run` start from whatever it is given, say so once, and refuse clearly?"""

from __future__ import annotations

import socket

import pytest
import yaml

from tests.origin import Origin
from tests.running import Leeward, command, free_port

MIB = 1024 * 1024


@pytest.fixture
def run(folder):
    """Starts the program with these arguments; stops it at the end."""
    started: list[Leeward] = []

    def start(arguments, listen, admin, env=None) -> Leeward:
        proxy = Leeward(["run", *arguments], folder, env=env)
        started.append(proxy)
        proxy.expect(listen, admin)
        return proxy

    yield start
    for proxy in started:
        assert proxy.stop() == 0


def addresses() -> tuple[str, str]:
    return f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"


def test_an_upstream_alone_is_enough(run, origin: Origin):
    listen, admin = addresses()
    proxy = run(
        ["--upstream", origin.url, "--ttl", "60s", "--listen", listen, "--admin", admin], listen, admin
    )
    assert [proxy.get("/a/b?c").body for _ in range(3)] == [b"ok"] * 3
    assert origin.hit("/a/b").target == "/a/b?c"


def test_with_a_token(run, origin: Origin):
    listen, admin = addresses()
    arguments = ["--upstream", origin.url, "--token-env", "MY_TOKEN", "--listen", listen, "--admin", admin]
    proxy = run(arguments, listen, admin, env={"MY_TOKEN": "given"})
    proxy.get("/x", ("Authorization", "Bearer mine"))
    assert origin.hit("/x").headers("Authorization") == ["Bearer given"]


def test_a_unix_socket(run, origin: Origin, folder):
    listen, admin = f"unix:{folder}/leeward.sock", f"127.0.0.1:{free_port()}"
    proxy = run(["--upstream", origin.url, "--listen", listen, "--admin", admin], listen, admin)
    assert proxy.get("/x").body == b"ok"
    assert proxy.stop() == 0
    assert not (folder / "leeward.sock").exists()


def test_a_stale_unix_socket_is_replaced(run, origin: Origin, folder):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder / "leeward.sock"))
    listen, admin = f"unix:{folder}/leeward.sock", f"127.0.0.1:{free_port()}"
    proxy = run(["--upstream", origin.url, "--listen", listen, "--admin", admin], listen, admin)
    assert proxy.get("/x").status == 200


@pytest.mark.parametrize("found", ["folder", "variable", "environment"])
def test_where_the_configuration_comes_from(run, origin: Origin, folder, found):
    listen, admin = addresses()
    file = folder / ("leeward.yaml" if found == "folder" else "other.yaml")
    server = {"listen": listen, "admin": admin}
    env: dict[str, str] = {}
    if found == "environment":
        env = {
            "LEEWARD_SERVER__LISTEN": listen,
            "LEEWARD_SERVER__ADMIN": admin,
            "LEEWARD_UPSTREAMS__API__BASE_URL": origin.url,
        }
    else:
        file.write_text(yaml.safe_dump({"server": server, "upstreams": {"api": {"base_url": origin.url}}}))
        env = {"LEEWARD_CONFIG": str(file)} if found == "variable" else {}
    assert run([], listen, admin, env).get("/api/x").status == 200


def test_the_command_line_wins_over_the_environment_over_the_file(run, origin: Origin, folder):
    listen, admin = addresses()
    config = {
        "server": {"listen": "127.0.0.1:1", "admin": "127.0.0.1:2"},
        "upstreams": {"api": {"base_url": origin.url}},
    }
    (folder / "leeward.yaml").write_text(yaml.safe_dump(config))
    env = {"LEEWARD_SERVER__LISTEN": "127.0.0.1:3", "LEEWARD_SERVER__ADMIN": admin}
    assert run(["--listen", listen], listen, admin, env).get("/api/x").status == 200


def test_ipv6(run, origin: Origin):
    listen, admin = f"[::1]:{free_port()}", f"127.0.0.1:{free_port()}"
    proxy = run(["--upstream", origin.url, "--listen", listen, "--admin", admin], listen, admin)
    with socket.create_connection(("::1", int(listen.rpartition(":")[2]))) as sock:
        sock.sendall(b"GET /x HTTP/1.0\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 200 ")
    assert proxy.process.poll() is None


BROKEN = {
    "unknown-key": ("upstreams: {a: {base_url: 'http://127.0.0.1:1', retrys: {}}}", "retry"),
    "no-yaml": ("upstreams: [", "leeward.yaml:"),
    "bad-duration": ("upstreams: {a: {base_url: 'http://b', timeout: {total: soon}}}", "timeout.total"),
    "no-url": ("upstreams: {a: {}}", "base_url"),
    "no-upstream": ("server: {}", "upstream"),
    "same-ports": (
        "{server: {listen: '127.0.0.1:9', admin: '127.0.0.1:9'}, upstreams: {a: {base_url: 'http://b'}}}",
        "admin",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_configuration(folder, name):
    text, mark = BROKEN[name]
    file = folder / "leeward.yaml"
    file.write_text(text)
    done = command("run", "--config", str(file), cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert mark in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments", [["--nonsense"], ["--config", "/nowhere/leeward.yaml"], ["--upstream", "ftp://x"]]
)
def test_bad_usage(folder, arguments):
    done = command("run", *arguments, cwd=folder)
    assert done.returncode == 2
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("which", ["--listen", "--admin"])
def test_a_port_in_use_is_said_in_one_line(folder, origin: Origin, which):
    listen, admin = addresses()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        given = {"--listen": listen, "--admin": admin, which: place}
        arguments = [word for pair in given.items() for word in pair]
        done = command("run", "--upstream", origin.url, *arguments, cwd=folder)
    assert (done.returncode, done.stdout) == (1, "")
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert place in lines[0]


def test_an_idle_process_is_small(run, origin: Origin):
    listen, admin = addresses()
    proxy = run(["--upstream", origin.url, "--listen", listen, "--admin", admin], listen, admin)
    proxy.get("/x")
    assert proxy.rss() < 70 * MIB
