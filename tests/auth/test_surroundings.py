from proxy.auth.rotation import Kept
from proxy.auth.surroundings import Surroundings
from tests.auth.planted import Hands
from tests.auth.samples import Provider, token


def test_it_shows_no_secret() -> None:
    kept = {"api": Kept(origin="o", refresh="canary-refresh")}
    here = Surroundings(
        salt=b"canary-salt-0123", clock=Hands(), chance=lambda: 0.0, fetch=Provider(token()), rotated=kept
    )
    assert "canary" not in repr(here)
