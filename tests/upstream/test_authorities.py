from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys

from proxy.upstream.authorities import Authorities, unread


async def test_they_are_read_once_for_all_who_wait() -> None:
    authorities = Authorities()
    one, other = await asyncio.gather(authorities.context(), authorities.context())
    assert one is other is await authorities.context()
    assert (one.verify_mode, one.check_hostname) == (ssl.CERT_REQUIRED, True)


async def test_who_leaves_does_not_stop_the_reading() -> None:
    authorities = Authorities()
    leaving = asyncio.create_task(authorities.context())
    await asyncio.sleep(0)
    leaving.cancel()
    assert isinstance(await authorities.context(), ssl.SSLContext)


def test_what_stands_in_for_them_trusts_nobody_and_only_for_a_moment() -> None:
    before = ssl.create_default_context
    with unread():
        made = ssl.create_default_context()
        assert made.verify_mode is ssl.CERT_REQUIRED
        assert made.cert_store_stats()["x509_ca"] == 0
    assert ssl.create_default_context is before


def test_an_unverified_context_looks_nowhere_and_only_for_a_moment() -> None:
    with unread():
        assert "set_default_verify_paths" in vars(ssl.SSLContext)
    assert "set_default_verify_paths" not in vars(ssl.SSLContext)
    looking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    looking.set_default_verify_paths()  # the real one again


def test_a_start_reads_none() -> None:
    code = (
        "import ssl, sys\n"
        "from proxy.upstream.authorities import unread\n"
        "with unread():\n"
        "    import proxy.server.worker\n"
        "from aiohttp import connector\n"
        "for made in (connector._SSL_CONTEXT_VERIFIED, connector._SSL_CONTEXT_UNVERIFIED):\n"
        "    print(made.cert_store_stats()['x509_ca'])\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("0\n0\n", "")
