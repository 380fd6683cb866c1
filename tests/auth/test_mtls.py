from __future__ import annotations

from proxy.auth.mtls import MutualTLS
from proxy.core.ports import Injector
from tests.auth.planted import ORIGIN, SALT, request


async def test_nothing_is_put_on_and_the_callers_credential_goes() -> None:
    injector: Injector = MutualTLS("/run/client.pem", SALT)
    sent = await injector.inject(request(("AUTHORIZATION", "callers"), ("X", "y")), ORIGIN)
    assert list(sent.headers) == [("x", "y")]
    plain = request(("X", "y"))
    assert await injector.inject(plain, ORIGIN) is plain
    assert injector.replaced == {"authorization"}


def test_it_is_told_by_its_file() -> None:
    injector = MutualTLS("/run/client.pem", SALT)
    assert injector.describe() == "mtls certificate /run/client.pem"
    assert repr(injector) == "MutualTLS(mtls certificate /run/client.pem)"
    assert injector.identity() != MutualTLS("/run/other.pem", SALT).identity()
    assert injector.mask("text") == "text"
