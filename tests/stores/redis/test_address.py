import pytest

from proxy.config.secrets import LiteralSecret
from proxy.stores.redis.address import Files, Kind, RedisAddress

HOSTS = (("one", 1), ("::1", 2))


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (RedisAddress(hosts=HOSTS[:1], database=3), "redis://one:1"),
        (RedisAddress(hosts=HOSTS[1:], tls=Files()), "rediss://[::1]:2"),
        (RedisAddress(kind=Kind.CLUSTER, hosts=HOSTS), "redis+cluster://one:1,[::1]:2"),
        (
            RedisAddress(kind=Kind.SENTINEL, hosts=HOSTS[:1], name="m", tls=Files()),
            "rediss+sentinel://one:1/m",
        ),
        (RedisAddress(kind=Kind.SOCKET, path="/run/r.sock"), "redis+unix:///run/r.sock"),
    ],
)
def test_it_is_shown_where_it_is(address: RedisAddress, shown: str) -> None:
    assert str(address) == shown


def test_no_secret_is_shown() -> None:
    secret = LiteralSecret("canary-7f3a")
    address = RedisAddress(hosts=HOSTS, username="me", password=secret, sentinel_password=secret)
    assert "canary" not in f"{address} {address!r}"
