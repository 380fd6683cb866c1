import gc
import tracemalloc
from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from proxy.stores.index import Index

_STEPS = st.lists(
    st.tuples(st.integers(0, 30), st.sets(st.sampled_from("abcdef"), max_size=4).map(sorted)), max_size=80
)


@given(_STEPS)
def test_it_names_exactly_what_carries_a_tag(steps: list[tuple[int, list[str]]]) -> None:
    index = Index[str]()
    carried: dict[int, list[str]] = defaultdict(list)
    for number, tags in steps:
        index.change(b"%d" % number, carried[number], tags)
        carried[number] = tags
    for tag in "abcdef":
        assert set(index.find(tag)) == {b"%d" % number for number, tags in carried.items() if tag in tags}
    assert len(index) == len({tag for tags in carried.values() for tag in tags})
    for number, tags in carried.items():
        index.change(b"%d" % number, tags, ())
    assert (len(index), index.size) == (0, 0)


def test_its_bytes_are_those_of_the_interpreter() -> None:
    names = [b"%d" % number for number in range(20_000)]
    tags = [f"tag-{number}" for number in range(2000)]
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    index = Index[str]()
    for number, name in enumerate(names):
        index.change(name, (), ("all", tags[number % 2000]))
    real = tracemalloc.get_traced_memory()[0] - before
    assert 0.9 < index.size / real < 1.1
    for number, name in enumerate(names[:-10]):
        index.change(name, ("all", tags[number % 2000]), ())
    gc.collect()
    real = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert index.size < 10_000
    assert real < 200_000, "the table of marks, which the next growth makes anew"
