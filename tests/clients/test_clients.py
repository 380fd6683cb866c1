"""Does the same base URL serve clients of other makes, each with its own habits on the wire?"""

from __future__ import annotations

from tests.clients.conftest import program, run_client


def test_node_fetch(api, origin):
    run_client(api, origin, program("node"), "client.mjs")


def test_java_net_http(api, origin):
    run_client(
        api, origin, program("java"), "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8", "Client.java"
    )


def test_python_urllib(api, origin):
    run_client(api, origin, program("python"), "client_urllib.py")


def test_python_aiohttp(api, origin):
    run_client(api, origin, program("python"), "client_aiohttp.py")
