import re
from typing import Any

import pytest
from pydantic import ValidationError

from proxy.config.places import PLACES, place
from proxy.config.redis import RedisSettings, address_of
from proxy.config.routes import UpstreamTLS
from proxy.stores.redis.address import Files, Kind, RedisAddress

LOCAL = (("127.0.0.1", 6379),)


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("redis://127.0.0.1:6379/0", RedisAddress(hosts=LOCAL)),
        ("redis://127.0.0.1", RedisAddress(hosts=LOCAL)),
        ("redis://127.0.0.1/", RedisAddress(hosts=LOCAL)),
        ("redis://[::1]:99/3", RedisAddress(hosts=(("::1", 99),), database=3)),
        ("rediss://Example.com", RedisAddress(hosts=(("example.com", 6379),), tls=Files())),
        (
            "redis+sentinel://a,b:1/house/2",
            RedisAddress(kind=Kind.SENTINEL, hosts=(("a", 26379), ("b", 1)), name="house", database=2),
        ),
        (
            "rediss+cluster://a:1,b",
            RedisAddress(kind=Kind.CLUSTER, hosts=(("a", 1), ("b", 6379)), tls=Files()),
        ),
        ("redis+unix:///run/r.sock", RedisAddress(kind=Kind.SOCKET, path="/run/r.sock")),
        ("unix:///run/r.sock?db=4", RedisAddress(kind=Kind.SOCKET, path="/run/r.sock", database=4)),
    ],
)
def test_a_url_says_where_it_is(written: str, found: RedisAddress) -> None:
    assert place(written) == found
    assert re.search(PLACES, written)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("redis://me:canary-7f3a@host/0", "write them as username and password under cache.redis"),
        ("unix://:canary-7f3a@/run/r.sock", "write them as username and password under cache.redis"),
        ("redis://host/0?password=canary-7f3a", "takes nothing after ? or #; write as in redis://"),
        ("redis://", "lacks a host; write redis://127.0.0.1:6379/0"),
        ("redis://a:x", "has no valid host and port; write as in redis://127.0.0.1:6379/0"),
        ("redis://a:0", "has no valid host and port; write as in redis://127.0.0.1:6379/0"),
        ("redis://unix:/run/r", "has no valid host and port"),
        ("redis://a,b", "names several hosts; write redis+cluster:// or redis+sentinel://"),
        ("redis://a/canary-7f3a", "has no number of a database after its last slash"),
        ("redis+cluster://a/1", "names a database, and a cluster has one only"),
        ("redis+sentinel://a", "lacks the name under which the sentinels know the primary"),
        ("redis+unix://run/r.sock", "is not a socket's absolute path; write redis+unix:///run/redis"),
        ("redis+unix:///run/r.sock?x=canary-7f3a", "takes a database as ?db=1"),
    ],
)
def test_what_is_wrong_says_what_would_be_right_and_no_secret(written: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as told:
        place(written)
    assert "canary" not in str(told.value)


def test_secrets_and_files_come_from_the_section() -> None:
    said = RedisSettings.model_validate(
        {
            "username": "app",
            "password": "canary-7f3a",
            "sentinel_password": {"env": "S"},
            "prefix": "staging",
            "timeout": "1s",
            "max_entry_bytes": "2MiB",
            "tls": {"ca": "/ca.pem", "cert": "/c.pem", "key": "/k.pem"},
        }
    )
    assert "canary" not in f"{said!r} {said.model_dump_json()}"
    whole = address_of(RedisAddress(hosts=LOCAL, database=1), said)
    assert (whole.username, whole.database, whole.tls) == (
        "app",
        1,
        Files(ca="/ca.pem", cert="/c.pem", key="/k.pem"),
    )
    assert whole.password is not None
    assert whole.password.reveal() == "canary-7f3a"
    assert whole.sentinel_password is not None
    assert (whole.prefix, whole.timeout, whole.max_entry_bytes) == ("staging", 1.0, 2 << 20)
    assert str(whole) == "rediss://127.0.0.1:6379"
    socket = address_of(RedisAddress(kind=Kind.SOCKET, path="/s"), RedisSettings(tls=UpstreamTLS()))
    assert socket.tls is None
    assert address_of(RedisAddress(hosts=LOCAL, tls=Files()), RedisSettings()).tls == Files()


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"tls": {"cert": "/c.pem"}}, "cert and key belong together"),
        ({"prefix": "a{b}"}, "pattern"),
        ({"username": "app:x"}, "pattern"),
        ({"username": "app", "password": None}, "is missing beside username"),
    ],
)
def test_what_does_not_go_together(written: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        RedisSettings.model_validate(written)
