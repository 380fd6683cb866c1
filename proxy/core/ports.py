"""What may the edges be asked for? The Protocols that stores, auth, upstream and observe satisfy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from math import inf
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from proxy.core.value import dataclass

if TYPE_CHECKING:
    from proxy.core.caching.entry import Entry
    from proxy.core.caching.key import Key
    from proxy.core.caching.purge import Purge
    from proxy.core.exchange import Attempt, Exchange, Pass, Repeat, Verdict
    from proxy.core.failure import APIError
    from proxy.core.message import Headers, Request, Response
    from proxy.core.reason import Reason
    from proxy.core.resilience.receipt import Receipt
    from proxy.core.routing import Origin, Route


class Clock(Protocol):
    """Time as an argument: everything that waits or stamps asks here, so tests can turn the hands."""

    def now(self) -> float:
        """Seconds on a clock that only goes forward; its zero means nothing."""

    def wall(self) -> float:
        """Seconds since 1970 as the machine believes; only for what people and HTTP dates read."""


class Chance(Protocol):
    """A number in [0, 1), for jitter."""

    def __call__(self) -> float: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One stored answer, as a listing shows it: `entry` may come without its content.

    `uses` counts the look-ups that found its key; `size` is in bytes, the content's included.
    """

    key: Key
    entry: Entry
    uses: int
    size: int


class Store(Protocol):
    """Where entries are kept. Every failure of a store is a miss; none reaches a caller."""

    async def load(self, key: Key) -> Sequence[Entry]:
        """The variants kept under a key, newest first; empty where there is none."""

    async def keep(self, key: Key, entry: Entry, *, asked: float = inf) -> bool:
        """Keeps one complete entry, replacing the variant that it matches. False = not kept.

        `asked` is the monotonic time at which its request went out: a store of several processes keeps
        nothing that any of them has dropped or purged since.
        """

    async def drop(self, key: Key) -> int:
        """Removes what is kept under a key; how many entries went."""

    async def drop_place(self, place: bytes) -> int:
        """Removes what is kept for a resource under every key (any identity); how many went."""

    async def purge(self, what: Purge) -> int:
        """Removes what is meant; how many entries went."""

    async def kept(self, what: Purge, limit: int) -> Sequence[Kept]:
        """At most so many of those that such a purge would remove, the last to come first."""

    def usage(self) -> tuple[int, int]:
        """(entries, bytes) kept, bookkeeping counted."""


class Receipts(Protocol):
    """Where first answers to requests with an Idempotency-Key are kept. Every failure of it is a miss."""

    async def load(self, place: bytes) -> Receipt | None:
        """What is kept at a place, until its time is over."""

    async def keep(self, place: bytes, receipt: Receipt, *, ttl: float) -> bool:
        """Keeps one complete answer for so many seconds, or until room is needed. False = not kept."""

    def usage(self) -> tuple[int, int]:
        """(answers, bytes) kept, bookkeeping counted."""


class Lasting(Protocol):
    """A hit that the same request gets again, as long as it holds. Times are monotonic seconds."""

    def holds(self, now: float) -> bool:
        """Whether the answer is still what deciding anew would give."""

    def values(self, now: float) -> tuple[bytes, bytes, float]:
        """What Age and Cache-Status say now, and for how many seconds; at most 1.

        Nothing else of the answer changes.
        """

    def response(self, age: bytes, line: bytes) -> Response:
        """The answer where these two say that, before it is signed with a request's id."""


class Passing(Protocol):
    """A request that went upstream and whose answer was not kept: the same goes there again."""

    @property
    def request(self) -> Request:
        """As it went upstream, its credential not yet injected."""

    @property
    def route(self) -> Route: ...

    def holds(self, now: float) -> bool:
        """Whether deciding anew would send it upstream, for itself; `now` in monotonic seconds."""

    def told(self, answer: Beginning, sent: float) -> Told | None:
        """How the cache passes on the answer to what went out at second `sent`; None = it may keep it."""


class Told(NamedTuple):
    """What is recorded of an answer that the cache passes on, and its Cache-Status."""

    verdict: Verdict
    reason: Reason
    line: bytes


class Beginning(Protocol):
    """The beginning of an upstream's answer, as far as the cache looks at it."""

    @property
    def status(self) -> int: ...

    @property
    def deciding(self) -> tuple[bytes, ...]:
        """Its lines with a name in `admission.READ`, as they came."""

    def headers(self) -> Headers:
        """Its end-to-end fields."""


class Begun(Protocol):
    """A sending that began before its request was decided about: whoever sends the same takes it over."""

    @property
    def since(self) -> float:
        """The monotonic second in which it went out."""

    @property
    def traceparent(self) -> str:
        """What it carries; made by us where the caller sent none."""

    def drop(self) -> None:
        """Gives it up; does nothing where somebody has taken it over."""


class Turn(Enum):
    """Whether to fetch what another process may be fetching just now."""

    MINE = "mine"  # fetch it, for all processes; say `end` afterwards
    OVER = "over"  # who had the turn has ended it: look into the store again
    ALONE = "alone"  # fetch it, for yourself: nobody can wait for it, or it took too long


class Turns(Protocol):
    """Whose turn it is to fetch, among processes that share a store. Nothing here raises.

    A process that dies loses its turns. Where nobody can be asked, everybody is alone.
    """

    async def take(self, name: bytes, patience: float) -> Turn:
        """Waits while another process has the turn, at most `patience` seconds."""

    def end(self, name: bytes, *, shared: bool) -> None:
        """Ends a turn that was MINE. Unless `shared`, who waits need not: it cannot be in the store."""


class Changes(Protocol):
    """What other processes that share a store have changed while something was on its way."""

    def note(self, place: bytes) -> None:
        """A resource was changed or purged here. Returns when every process can see it."""

    def seen(self, place: bytes) -> int:
        """A number that is another one after each change of the resource."""


class Secret(Protocol):
    """One secret value and where it comes from; every rendering of it but `reveal` is safe."""

    def reveal(self) -> str:
        """The value as of now. Raises CredentialError where it cannot be had."""

    def describe(self) -> str:
        """Where it comes from (`env GITHUB_TOKEN`, `file /run/token`, `configuration`)."""


@runtime_checkable
class Fixed(Protocol):
    """A secret whose value is the same for as long as the program runs."""

    fixed: bool


@runtime_checkable
class Changing(Protocol):
    """A secret whose value may be replaced while the program runs."""

    def previous(self) -> str | None:
        """The value before the present one, while that is so new that it may not be known everywhere."""


class Injector(Protocol):
    """One credential and how it gets onto a request."""

    @property
    def replaced(self) -> frozenset[str]:
        """Lower-case names of caller's fields that never pass beside it (underscores read as hyphens)."""

    def describe(self) -> str:
        """The scheme and where its secret comes from, never the secret."""

    def identity(self) -> str:
        """A name for whose answers these are: equal for equal credentials, revealing neither."""

    async def inject(self, request: Request, origin: Origin) -> Request:
        """The request with the credential on it, for this origin and no other. Raises CredentialError.

        A scheme that signs the body reads `request.body` to its end; who sends it rewinds it.
        """

    def mask(self, text: str) -> str:
        """The text with every secret of this credential replaced by `***`."""


@runtime_checkable
class Steady(Protocol):
    """An injector that may do the same to every request, as long as its identity is the same."""

    def steady(self) -> bool:
        """Whether it does: no signature, no turns among several values."""


@runtime_checkable
class Renewable(Protocol):
    """An injector that may have another value when one is refused: a new token, the next key."""

    async def another(
        self, sent: Request, answer: Response, request: Request, origin: Origin
    ) -> Request | None:
        """The request with another credential than `sent` carried, where `answer` refused that one.

        None where there is no other, or where the answer is not about the credential. What it says is
        remembered: a renewed token or a rested key is what the next request gets. Raises nothing.
        """


@runtime_checkable
class Settled(Protocol):
    """An injector that may never have another identity, because no secret of its own can change."""

    @property
    def settled(self) -> bool: ...


@runtime_checkable
class Echoed(Protocol):
    """An injector whose credential stands in the URL, which answers repeat: in Location, in Link."""

    def cleared(self, fields: Headers) -> Headers:
        """An answer's fields without it."""


@runtime_checkable
class Expiring(Protocol):
    """An injector whose credential lives for a while and is renewed in the background."""

    def expires(self) -> float | None:
        """Seconds until what is used now is of no use, below 0 where it is so already; None = not known."""

    async def close(self) -> None:
        """Ends what runs in the background, first letting it finish for some seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A short answer, all of it here."""

    status: int
    headers: Headers
    body: bytes


class Fetch(Protocol):
    """One request on the credential's own errand, to its token endpoint."""

    async def __call__(self, request: Request, origin: Origin, *, within: float) -> Reply:
        """The answer, whatever its status, within so many seconds. Raises APIError.

        No redirect is followed, and an answer over 64 KiB is a failure.
        """


class Upstream(Protocol):
    """The way out: attempts, credentials, waiting and pooled connections included."""

    async def send(self, request: Request, route: Route, exchange: Exchange) -> Response:
        """The final answer's head, its body still to be pulled. Raises APIError."""


class Permit(Protocol):
    """One attempt that was let go. One of the two ends it; what is called after that does nothing."""

    @property
    def origin(self) -> Origin:
        """The endpoint that it goes to."""

    def answered(self, response: Response) -> Response:
        """The head is here; the response to hand on in its place."""

    def well(self, status: int, headers: Callable[[], Headers] | None) -> None:
        """A whole success is here, which says something of quotas where `headers` are given."""

    def failed(self, failure: APIError | None) -> None:
        """No answer came; None = the caller left."""


class Restraint(Protocol):
    """What keeps an upstream from being asked too much, or while it wants a rest."""

    async def admit(self, request: Request, route: Route, exchange: Exchange, *, deadline: float) -> Permit:
        """Waits until an attempt may go, until the monotonic second `deadline` at most.

        Raises CircuitOpenError, RateLimitError, OverloadedError and DeadlineExceededError.
        """

    def refusal(self, request: Request, route: Route, *, remaining: float) -> Reason | None:
        """Why no attempt could go within so many seconds, None where one may. Changes nothing."""

    def elsewhere(self, route: Route, exchange: Exchange) -> bool:
        """Whether the next attempt would go to another endpoint than the last. Changes nothing."""

    def at_once(self, request: Request, route: Route) -> Permit | None:
        """Leave for an attempt that has nothing to wait for; None where `admit` has to be asked.

        Only for a route with one origin.
        """

    def spare(self, request: Request, route: Route, exchange: Exchange) -> Permit | None:
        """Leave for an attempt beside one that is under way, where nothing at all speaks against it."""


class Observer(Protocol):
    """Reads the record. Nothing that an observer does may fail or delay a request."""

    def opened(self, exchange: Exchange) -> None: ...

    def attempted(self, exchange: Exchange, attempt: Attempt) -> None: ...

    def closed(self, exchange: Exchange) -> None: ...

    def repeated(self, hits: Sequence[Repeat]) -> None:
        """Hits that were answered like one before them; said a little later, many at once."""

    def passed(self, passes: Sequence[Pass]) -> None:
        """As `repeated`, of requests that were passed on; their only attempt was told by none but this."""
