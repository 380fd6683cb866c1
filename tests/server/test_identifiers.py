import re
from random import Random

from proxy.server.identifiers import TOGETHER, Identifiers, request_id, traceparent

ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


def test_an_id_is_a_ulid_that_sorts_by_time():
    bits = Random(1).getrandbits
    ids = [request_id(1_700_000_000 + second, bits) for second in range(50)]
    assert all(ULID.fullmatch(made) for made in ids)
    assert ids == sorted(ids)


def test_ids_of_one_moment_differ():
    bits = Random(1).getrandbits
    assert len({request_id(1_700_000_000.0, bits) for _ in range(1000)}) == 1000


def test_the_layout_is_time_then_chance():
    assert request_id(0.0, lambda _: 0) == "0" * 26
    assert request_id(0.032, lambda _: 31) == "0000000010" + "0" * 15 + "Z"


def test_a_trace_begun_here_is_well_formed_and_never_all_zero():
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", traceparent(Random(1).getrandbits))
    assert traceparent(lambda _: 0) == f"00-{1:032x}-{1:016x}-00"


def test_many_cheap_ids_are_all_different_and_sort_by_time():
    identifiers = Identifiers(Random(7).getrandbits)
    batches = [identifiers.several(1_700_000_000 + n / 1000) for n in range(1000)]
    # They are taken from the end.
    ids = [one.decode() for batch in batches for one in reversed(batch)]
    assert len(set(ids)) == len(ids) == 1000 * TOGETHER
    assert ids == sorted(ids)
    assert {len(one) for one in ids} == {26}


def test_cheap_ids_are_laid_out_like_the_others():
    several = Identifiers(Random(7).getrandbits).several(1_700_000_000.0)
    assert {one[:10].decode() for one in several} == {request_id(1_700_000_000.0, lambda _: 0)[:10]}
    assert all(re.fullmatch(rb"[0-9A-HJKMNP-TV-Z]{26}", one) for one in several)


def test_many_traces_are_each_as_one_and_all_different():
    identifiers = Identifiers(Random(7).getrandbits)
    traces = [trace.decode() for _ in range(100) for trace in identifiers.traces()]
    assert len(traces) == 100 * TOGETHER
    assert all(re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", trace) for trace in traces)
    for place in (1, 2):  # each id by itself
        assert len({trace.split("-")[place] for trace in traces}) == len(traces)
    nothing = Identifiers(lambda _: 0).traces()
    assert nothing == [traceparent(lambda _: 0).encode()] * TOGETHER
