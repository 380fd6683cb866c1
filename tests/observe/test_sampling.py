from __future__ import annotations

from proxy.observe.sampling import Sampling


class Hands:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def test_the_first_few_of_an_interval_pass_and_the_next_says_how_many_did_not() -> None:
    now = Hands()
    sampling = Sampling(now, most=2, per=60)
    assert [sampling.admit("a") for _ in range(5)] == [0, 0, None, None, None]
    now.at = 59.9
    assert sampling.admit("a") is None
    now.at = 60.0
    assert [sampling.admit("a") for _ in range(3)] == [4, 0, None]


def test_kinds_do_not_share() -> None:
    sampling = Sampling(Hands(), most=1)
    assert sampling.admit("a") == 0
    assert sampling.admit("b") == 0
    assert sampling.admit("a") is None


def test_a_quiet_interval_leaves_nothing_to_tell() -> None:
    now = Hands()
    sampling = Sampling(now, most=1, per=10)
    assert sampling.admit("a") == 0
    now.at = 100.0
    assert sampling.admit("a") == 0


def test_the_table_of_kinds_is_bounded() -> None:
    sampling = Sampling(Hands(), most=1)
    for number in range(5000):
        assert sampling.admit(number) == 0
    assert len(sampling._kinds) <= 512
