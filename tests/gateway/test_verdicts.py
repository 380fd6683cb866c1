from proxy.core.reason import Reason
from proxy.gateway.verdicts import Verdicts


def test_a_verdict_holds_for_a_while() -> None:
    verdicts = Verdicts(seconds=10)
    assert verdicts.recall(b"a", 0) is None
    verdicts.remember(b"a", Reason.NO_STORE, 0)
    assert verdicts.recall(b"a", 9.9) is Reason.NO_STORE
    assert verdicts.recall(b"b", 9.9) is None
    assert verdicts.recall(b"a", 10) is None
    assert verdicts._kept == {}


def test_forgetting() -> None:
    verdicts = Verdicts()
    kept = verdicts.kept
    verdicts.remember(b"a", Reason.NO_STORE, 0)
    assert b"a" in kept
    verdicts.forget(b"a")
    assert b"a" not in kept
    verdicts.forget(b"b")
    assert verdicts.recall(b"a", 0) is None


def test_the_oldest_goes_first() -> None:
    verdicts = Verdicts(most=2)
    for name in (b"a", b"b", b"a", b"c"):
        verdicts.remember(name, Reason.PRIVATE, 0)
    assert [verdicts.recall(name, 0) for name in (b"a", b"b", b"c")] == [Reason.PRIVATE, None, Reason.PRIVATE]
