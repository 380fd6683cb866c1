"""The edges satisfy the ports. mypy checks each assignment; the test that they can be made at all."""

from proxy.auth.none import NoCredential
from proxy.config.secrets import EnvSecret, FileSecret, LiteralSecret
from proxy.core import ports
from proxy.observe.logs import AccessLog
from proxy.observe.metrics import Metrics
from proxy.observe.recent import Recent
from proxy.observe.together import Together
from proxy.stores.memory import MemoryStore
from proxy.wiring import MonotonicClock


def test_the_edges_satisfy_the_ports(tmp_path):
    clock: ports.Clock = MonotonicClock()
    store: ports.Store = MemoryStore(max_bytes=1000, max_entry_bytes=100)
    injector: ports.Injector = NoCredential()
    secrets: list[ports.Secret] = [LiteralSecret("a"), EnvSecret("B"), FileSecret(tmp_path / "c")]
    observers: list[ports.Observer] = [AccessLog(), Metrics("1"), Recent(), Together([])]
    assert clock.now() <= clock.now()
    assert clock.wall() > 1_700_000_000
    assert store.usage() == (0, 0)
    assert injector.identity()
    assert len(secrets) + len(observers) == 7
