from proxy.core.exchange import Attempt, Exchange, Verdict


def test_a_record_begins_empty_and_its_lists_are_its_own():
    one = Exchange(id="1", method="GET", target="/", started=0.0, at=0.0)
    other = Exchange(id="2", method="GET", target="/", started=0.0, at=0.0)
    one.attempts.append(Attempt(started=0.0))
    assert other.attempts == []
    assert (one.status, one.error, one.code, one.cut) == (0, None, None, False)
    assert one.verdict is Verdict.BYPASS


def test_verdicts_are_the_words_of_the_metrics_label():
    assert [verdict.value for verdict in Verdict] == [
        "hit",
        "miss",
        "stale",
        "revalidated",
        "coalesced",
        "bypass",
    ]


def test_a_record_does_not_show_header_values():
    from proxy.core.message import Headers

    record = Exchange(id="1", method="GET", target="/", started=0.0, at=0.0)
    record.headers_in = Headers.of(("Authorization", "canary"))
    assert "canary" not in repr(record)
