"""What becomes of a request whose credential is refused?"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from proxy.core.failure import DeadlineExceededError
from proxy.core.message import Request, Response
from proxy.core.reason import Reason
from proxy.core.routing import Origin
from tests.upstream.conftest import OK, Pieces, Stamp, Way


@dataclass
class Purse(Stamp):
    """An injector with several credentials; a refused one gives way to the next."""

    left: list[str] = field(default_factory=lambda: ["two"])
    asked: list[int] = field(default_factory=list)
    reads: bool = False
    waits: float = 0.0
    hangs: bool = False
    hung: asyncio.Event = field(default_factory=asyncio.Event)
    origins: list[str] = field(default_factory=list)

    async def inject(self, request: Request, origin: Origin) -> Request:
        self.origins.append(origin.url)
        await asyncio.sleep(self.waits)
        if self.reads:
            while await request.body.read():
                pass
        return self.placed(request, "one")

    async def another(
        self, sent: Request, answer: Response, request: Request, origin: Origin
    ) -> Request | None:
        self.asked.append(answer.status)
        if self.hangs:
            self.hung.set()
            await asyncio.Event().wait()
        return self.placed(request, self.left.pop(0)) if self.left else None

    def placed(self, request: Request, value: str) -> Request:
        return replace(request, headers=request.headers.plus(("X-Key", value)))

    def expires(self) -> float | None:
        return None

    async def close(self) -> None: ...


NO = b"HTTP/1.1 %d No\r\nContent-Length: 2\r\nRetry-After: 60\r\n\r\nno"


def sent(way: Way) -> list[str | None]:
    return [hit.header("x-key") for hit in way.origin.hits()]


@pytest.mark.parametrize("status", [401, 402, 403, 429])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_it_goes_out_again_with_another_at_once(way: Way, status: int, method: str) -> None:
    way.origin.on("/x").raw(NO % status).raw(OK)
    purse = Purse()
    got = await way.ask(method, body=b"body" if method == "POST" else b"", injector=purse)
    assert got.status == 200
    assert sent(way) == ["one", "two"]
    assert {hit.raw_body for hit in way.origin.hits()} == {b"body" if method == "POST" else b""}
    assert got.told == [("4xx", Reason.ANOTHER_CREDENTIAL.value), ("2xx", None)]
    assert [attempt.status for attempt in way.watcher.seen] == [status, 200]
    assert purse.origins == [f"http://127.0.0.1:{way.origin.port}"]


async def test_it_pays_nothing_from_the_budget(way: Way) -> None:
    way.origin.on("/x").raw(NO % 401).raw(OK)
    before = way.attempts.budgets.remaining()
    await way.ask(injector=Purse())
    assert before == {}
    [left] = way.attempts.budgets.remaining().values()
    way.origin.reset()
    way.origin.on("/x").raw(OK)
    await way.ask(injector=Purse())
    [after] = way.attempts.budgets.remaining().values()
    assert after >= left


async def test_where_there_is_no_other_the_answer_stands(way: Way) -> None:
    way.origin.on("/x").raw(NO % 401)
    got = await way.ask(injector=Purse(left=[]))
    assert (got.status, got.body, way.origin.count()) == (401, b"no", 1)


async def test_what_was_refused_is_not_sent_again(way: Way) -> None:
    way.origin.on("/x").raw(NO % 401)
    got = await way.ask(injector=Purse(left=["two", "one", "three"]), retry={"attempts": 9})
    assert sent(way) == ["one", "two"]
    assert got.status == 401


@pytest.mark.parametrize(
    ("attempts", "expected"), [(1, ["one"]), (2, ["one", "two"]), (3, ["one", "two", "three"])]
)
async def test_it_stays_within_the_attempts(way: Way, attempts: int, expected: list[str]) -> None:
    way.origin.on("/x").raw(NO % 401)
    purse = Purse(left=["two", "three", "four"])
    got = await way.ask(injector=purse, retry={"attempts": attempts})
    assert sent(way) == expected
    assert (got.status, len(purse.asked)) == (401, attempts), "what is refused last is told too"


async def test_a_body_that_cannot_be_sent_again_is_not(way: Way) -> None:
    way.origin.on("/x").raw(NO % 401)
    purse = Purse()
    body = Pieces(*[b"x" * 1000] * 100, length=100_000)
    got = await way.ask("POST", body=body, injector=purse, retry={"max_replay_body": 1000})
    assert (got.status, way.origin.count(), purse.asked) == (401, 1, [401])


async def test_a_body_that_may_be_kept_on_disk_is_sent_again(way: Way) -> None:
    way.origin.on("/x").raw(NO % 401).raw(OK)
    kept = {"max_replay_body": 1000, "max_spool_body": 100_000}
    got = await way.ask("POST", body=b"x" * 2000, injector=Purse(), retry=kept)
    assert got.status == 200
    assert [len(hit.body) for hit in way.origin.hits()] == [2000, 2000]


async def test_a_body_that_was_read_to_be_signed_is_sent_whole(way: Way) -> None:
    way.origin.on("/x").raw(NO % 401).raw(OK)
    body = Pieces(*[b"x" * 1000] * 100, length=100_000)
    got = await way.ask("POST", body=body, injector=Purse(reads=True))
    assert got.status == 200
    assert [hit.raw_body for hit in way.origin.hits()] == [b"x" * 100_000] * 2


@pytest.mark.parametrize("status", [200, 404, 500, 503])
async def test_what_is_not_about_the_credential_asks_for_no_other(way: Way, status: int) -> None:
    way.origin.on("/x").raw((NO % status).replace(b"Retry-After: 60\r\n", b""))
    purse = Purse()
    await way.ask(injector=purse)
    assert purse.asked == []


async def test_a_credential_that_does_not_come_in_time_is_a_deadline_s_failure(way: Way) -> None:
    got = await way.ask(injector=Purse(waits=60.0), timeouts={"total": 0.05})
    assert isinstance(got.failure, DeadlineExceededError)
    assert way.origin.count() == 0


async def test_another_that_does_not_come_in_time_leaves_the_answer(way: Way) -> None:
    way.origin.on("/x").raw(NO % 401)
    got = await way.ask(injector=Purse(hangs=True), timeouts={"total": 0.3})
    assert got.status == 401


async def test_a_caller_that_leaves_while_another_is_awaited_leaves_no_connection_behind(way: Way) -> None:
    way.origin.on("/x").raw(b"HTTP/1.1 401 No\r\nContent-Length: 100\r\n\r\nno", then="hold")
    purse = Purse(hangs=True)
    asking = asyncio.create_task(way.ask(injector=purse))
    await purse.hung.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert way.counts[0] == 0


async def test_a_refusal_for_which_there_is_another_closes_no_gate(way: Way) -> None:
    """It was one key that was limited, not the upstream."""
    told: list[str] = []

    class Gate:
        origin = way.route.origins[0]

        async def admit(self, *_: object, **__: object) -> Gate:
            return self

        def refusal(self, *_: object, **__: object) -> None:
            return None

        def answered(self, response: Response) -> Response:
            told.append(str(response.status))
            return response

        def failed(self, failure: object) -> None:
            told.append(str(failure))

    way.attempts.restraint = Gate()  # type: ignore[assignment]  # no more of one than is asked for
    way.origin.on("/x").raw(NO % 429).raw(OK)
    got = await way.ask(injector=Purse())
    assert (got.status, told) == (200, ["None", "200"])
