"""How does what the operator wrote become what runs? The only place where the rooms meet."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Any, assert_never

from proxy import __version__
from proxy.auth.surroundings import Surroundings
from proxy.auth.veil import Veil
from proxy.config.certificates import Certified, for_upstream, upstream_sides
from proxy.config.following import follow, missing
from proxy.config.places import Disk, Memory, place
from proxy.config.redis import address_of
from proxy.config.routes import UpstreamSettings
from proxy.config.secrets import FileSecret
from proxy.config.settings import Settings
from proxy.core.failure import CredentialError
from proxy.core.message import Headers, Request, Whole
from proxy.core.ports import Expiring, Fetch, Observer
from proxy.core.routing import Match, Origin, Route, Table
from proxy.core.value import dataclass
from proxy.gateway import explanation
from proxy.gateway.caching import Caching
from proxy.gateway.pipeline import Pipeline
from proxy.gateway.refresh import Refresh
from proxy.gateway.repeats import Repeats
from proxy.gateway.resilience import Resilience
from proxy.injection import ends, injector, nowhere
from proxy.observe import logs
from proxy.observe.metrics import Metrics
from proxy.observe.recent import Recent
from proxy.observe.together import Together
from proxy.stores import opening
from proxy.stores.opening import Bounds, Opened, Telling
from proxy.stores.receipts import MemoryReceipts
from proxy.stores.redis.address import RedisAddress
from proxy.upstream.attempts import Attempts
from proxy.upstream.checks import Checks
from proxy.upstream.errand import Errand
from proxy.upstream.replay import Rooms
from proxy.upstream.session import Session

if TYPE_CHECKING:
    from proxy.auth.rotation import Kept
    from proxy.observe.tracing import Traces

# The standard library's loggers lead into the one sink, which samples what repeats.
_LOGGER = logging.getLogger("leeward")
_LAST_GRACE = 0.5  # seconds for background tasks when everything else has ended
_LAST_SPANS = 2.0  # seconds for the collector to take them
_MASKS = 4  # configurations whose secrets are kept out of what is said, the newest and those before it


class MonotonicClock:
    """The machine's clocks."""

    # Asked several times a request: the builtins themselves, without a call of ours around them.
    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)


@dataclass(slots=True)
class Runtime:
    """What runs: the pipeline and what the admin port shows of it."""

    table: Table
    pipeline: Pipeline
    upstream: Attempts
    caching: Caching
    repeats: Repeats
    clock: MonotonicClock
    metrics: Metrics
    recent: Recent
    observers: Sequence[Observer]
    opened: Opened
    session: Session
    refresh: Refresh
    resilience: Resilience
    checks: Checks
    traces: Traces | None
    mask: Callable[[str], str]
    masks: deque[Callable[[str], str]]  # this configuration's and those before it
    salt: bytes
    rotated: dict[str, Kept]  # refresh tokens that were replaced, where only this process knows them
    rooms: Rooms
    bug: Callable[[str, BaseException], None]
    explain: Callable[[str, str], Awaitable[Mapping[str, Any]]]
    renewed: asyncio.Event  # an upstream is to be shown another certificate
    _watch: asyncio.Task[None] | None = field(default=None)

    async def close(self, grace: float = _LAST_GRACE) -> None:
        """Ends what it does behind callers' backs, after at most `grace` seconds."""
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
        await self.checks.close()
        await self.refresh.drain(grace)
        credentials = [one.injector for one in self.table.routes if isinstance(one.injector, Expiring)]
        await asyncio.gather(*(credential.close() for credential in credentials))
        await self.session.close()
        if self.traces is not None:
            await self.traces.close(_LAST_SPANS)

    def watch(self, files: Sequence[FileSecret], certified: Sequence[Certified]) -> None:
        if files or certified:
            follows = follow(files, certified, lambda _one: self.renewed.set())
            self._watch = asyncio.create_task(follows, name="secret files")


async def build(settings: Settings, before: Runtime | None = None, *, shared: Path | None = None) -> Runtime:
    """What the settings describe; raises CertificateError.

    With `before`, which it is to replace, on the store and with the figures of that; nothing is changed
    there where this raises. `shared` is the folder in which several workers keep what memory:// means.
    """
    sides = await asyncio.to_thread(upstream_sides, settings.upstreams)
    clock = MonotonicClock()
    if before is None:
        metrics = Metrics(__version__)
        # What a store says while it opens has no secrets in it, and those are not known yet.
        logs.configure(level=settings.log.level, layout=settings.log.format, mask=str)
        opened = await _opened(settings, metrics, clock, shared)
        metrics.watch_store(opened.name, opened.store.usage)
    else:
        metrics, opened = before.metrics, before.opened
    store = opened.store
    salt = _salt(settings, opened, before)
    rotated = {} if before is None else before.rotated
    session = Session(contexts={name: one.context for name, one in sides.items()})
    routes = [
        route(name, said, settings, salt, errand=Errand(session), rotated=rotated, side=sides.get(name))
        for name, said in settings.upstreams.items()
    ]
    table = Table(routes)

    masks = deque(() if before is None else before.masks, maxlen=_MASKS)
    masks.appendleft(_mask(settings, routes, salt))

    def mask(text: str) -> str:
        for one in masks:
            text = one(text)
        return text

    hidden = frozenset().union(*(configured.dialect.sensitive for configured in routes))
    logs.configure(level=settings.log.level, layout=settings.log.format, mask=mask, sensitive=hidden)
    recent = Recent(mask=mask) if before is None else before.recent
    recent.mask = mask
    metrics.expect(configured.name for configured in routes)
    readers: list[Observer] = [metrics, recent]
    if settings.log.access:
        readers.append(logs.AccessLog())
    traces = await _traces(settings, mask)
    if traces is not None:
        readers.append(traces)
    observers = [Together(readers)]
    refresh = Refresh(on_error=lambda error: _LOGGER.error("A background task failed", exc_info=error))
    rooms = (Rooms() if before is None else before.rooms).bounded(
        memory=settings.server.max_replay_memory, disk=settings.server.max_replay_disk
    )
    # A hold-off or an open circuit outlives a reload.
    resilience = Resilience(clock=clock, secret=salt) if before is None else before.resilience
    upstream = Attempts(
        session=session,
        clock=clock,
        chance=SystemRandom().random,
        observers=observers,
        restraint=resilience,
        rooms=rooms,
    )
    _watched(metrics, upstream, resilience)
    metrics.watch_credentials(lambda: ends(routes))
    caching = Caching(
        store=store,
        peek=store.peek,
        clock=clock,
        refresh=refresh,
        secret_key=salt,
        flights=None if before is None else before.caching.flights,
        room=rooms.memory,
        turns=opened.turns,
        changes=opened.changes,
    )
    repeats = _repeats(settings, metrics, refresh, salt, before)

    async def explain(method: str, target: str) -> Mapping[str, Any]:
        asked = Request(method=method, target=target, headers=Headers(), body=Whole())
        return await explanation.explain(asked, table, secret=salt, store=store, now=clock.now())

    runtime = Runtime(
        table=table,
        pipeline=Pipeline(table=table, repeats=repeats, caching=caching, upstream=upstream, clock=clock),
        upstream=upstream,
        caching=caching,
        repeats=repeats,
        clock=clock,
        metrics=metrics,
        recent=recent,
        observers=observers,
        opened=opened,
        session=session,
        refresh=refresh,
        resilience=resilience,
        checks=Checks(session, routes, _heard(resilience)),
        explain=explain,
        traces=traces,
        mask=mask,
        masks=masks,
        salt=salt,
        rotated=rotated,
        rooms=rooms,
        renewed=asyncio.Event() if before is None else before.renewed,
        bug=lambda request, error: _LOGGER.error("Our fault: request %s failed", request, exc_info=error),
    )
    for trouble in await asyncio.to_thread(missing, settings.secrets()):
        _LOGGER.warning("Calls with this credential will fail: %s", trouble)
    runtime.watch(settings.file_secrets(), tuple(sides.values()))
    runtime.checks.start()
    return runtime


def _salt(settings: Settings, opened: Opened, before: Runtime | None) -> bytes:
    """What keys are digested with: a store that is shared has one for all who share it."""
    if before is None:
        return opened.salt or secrets.token_bytes(32)
    upstreams = settings.upstreams.values()
    ruled = (upstream.ruled(rule) for upstream in upstreams for rule in upstream.rules)
    if any(said.idempotency is not None for said in (*upstreams, *ruled)):
        # Calls that were made under the earlier one would not be known again.
        return before.salt
    return opened.salt or before.salt


async def _opened(settings: Settings, metrics: Metrics, clock: MonotonicClock, shared: Path | None) -> Opened:
    """The store, which nothing else needs to run."""
    said = settings.cache
    bounds = Bounds(max_bytes=said.max_bytes, max_entry_bytes=said.max_entry_bytes)
    telling = Telling(evicted=metrics.evicted, failed=metrics.store_failed)
    where = place(said.store)
    match where:
        case Memory() if shared is not None:
            return await opening.disk(shared, bounds, telling, clock, name="memory")
        case Memory():
            return opening.memory(bounds, telling)
        case Disk(path=path):
            return await opening.disk(path, bounds, telling, clock)
        case RedisAddress():
            if said.redis.tls is not None:  # the library would find out too late what is wrong with them
                await asyncio.to_thread(for_upstream, said.redis.tls)
            return await opening.redis(address_of(where, said.redis), bounds, telling, clock)
        case _:
            assert_never(where)


def route(
    name: str,
    upstream: UpstreamSettings,
    settings: Settings,
    salt: bytes,
    *,
    errand: Fetch | None = None,
    rotated: dict[str, Kept] | None = None,
    side: Certified | None = None,
) -> Route:
    """One upstream with its rules, in core's terms.

    Without `errand` it can be looked at, not used where a token is needed. `rotated` are the refresh tokens
    that this process got in place of those configured, `side` what we show in TLS.
    """
    surroundings = Surroundings(
        salt=salt,
        clock=MonotonicClock(),
        chance=SystemRandom().random,
        fetch=errand or nowhere,
        rotated={} if rotated is None else rotated,
    )
    credential = injector(upstream, surroundings)
    policies = [upstream.cache, *(rule.cache for rule in upstream.rules if rule.cache is not None)]
    ignored = tuple(sorted({name for policy in policies for name in policy.key.ignore_query}))
    dialect = upstream.speaks()

    def built(said: UpstreamSettings, rules: tuple[tuple[Match, Route], ...] = ()) -> Route:
        return Route(
            name=name,
            origins=said.base_url,
            injector=credential,
            certificate=b"" if side is None else side.digest,
            allow=said.allowed(),
            prefix=said.route_prefix(),
            host=said.host,
            set_headers=said.headers.pairs(),
            default_headers=tuple(said.headers.default.items()),
            remove_headers=said.headers.removed(),
            forwarded=said.forwarded,
            timeouts=said.timeout.timeouts(),
            retry=said.retry.policy(),
            balance=said.balance,
            check=None if said.health_check is None else said.health_check.policy(),
            breaker=None if said.circuit_breaker is None else said.circuit_breaker.policy(),
            rate=None if said.rate_limit is None else said.rate_limit.policy(),
            pacing=None if said.pacing is None else said.pacing.policy(),
            concurrency=None if said.concurrency is None else said.concurrency.policy(),
            cache=said.cache.policy(
                max_entry_bytes=settings.cache.max_entry_bytes, tag_headers=settings.cache.tag_headers
            ),
            ignored_query=ignored,
            errors=said.errors,
            dialect=dialect,
            idempotency=None if said.idempotency is None else said.idempotency.ttl,
            rules=rules,
        )

    rules = tuple((rule.match.match(), built(upstream.ruled(rule))) for rule in upstream.rules)
    return built(upstream, rules)


def _heard(resilience: Resilience) -> Callable[[Route, Origin, bool], None]:
    """What is done with the outcome of a health check."""

    def heard(route: Route, origin: Origin, well: bool) -> None:  # noqa: FBT001 - a callback's
        if resilience.endpoints.checked(route, origin, well=well):
            _LOGGER.warning("%s: %s is %s", route.name, origin.url, "well again" if well else "ill")

    return heard


def _mask(settings: Settings, routes: Sequence[Route], salt: bytes) -> Callable[[str], str]:
    """Hides every secret of this configuration in a text."""
    own = tuple(settings.own_secrets())
    veil = Veil("own secrets", salt)

    def mask(text: str) -> str:
        for secret in own:
            with suppress(CredentialError):
                veil.hide(secret.reveal())
        for configured in routes:
            text = configured.injector.mask(text)
        return veil.mask(text)

    return mask


def _watched(metrics: Metrics, upstream: Attempts, resilience: Resilience) -> None:
    """Lets the metrics look at what is told only when it is asked for."""
    metrics.watch_budgets(upstream.budgets.remaining)
    metrics.watch_circuits(resilience.endpoints.circuits)
    metrics.watch_endpoints(resilience.endpoints.up)
    metrics.watch_quotas(resilience.quotas)
    metrics.resending.watch(upstream.rooms.held)


def _repeats(
    settings: Settings, metrics: Metrics, refresh: Refresh, salt: bytes, before: Runtime | None
) -> Repeats:
    """What knows requests by their keys, also those that were made under an earlier configuration."""
    cache, clock = settings.cache, MonotonicClock()
    repeats = Repeats(
        receipts=MemoryReceipts(max_bytes=cache.max_idempotency_bytes, clock=clock, on_evict=metrics.evicted)
        if before is None
        else before.repeats.receipts,
        clock=clock,
        refresh=refresh,
        secret=salt,
        max_answer=cache.max_entry_bytes,
        turns=None if before is None else before.repeats.turns,
    )
    upstreams = settings.upstreams.values()
    if any(up.idempotency or any(rule.idempotency for rule in up.rules) for up in upstreams):
        metrics.watch_store("idempotency", repeats.receipts.usage)
    return repeats


async def _traces(settings: Settings, mask: Callable[[str], str]) -> Traces | None:
    """What sends traces, where they are wanted."""
    endpoint = settings.tracing.otlp_endpoint
    if endpoint is None:
        return None

    def made() -> Traces:
        from proxy.observe import tracing  # noqa: PLC0415 - OpenTelemetry is a third of a start

        return tracing.Traces(
            tracing.exporter(endpoint),
            version=__version__,
            prefixes={name: upstream.prefix for name, upstream in settings.upstreams.items()},
            scheme="http" if settings.server.tls is None else "https",
            mask=mask,
        )

    return await asyncio.to_thread(made)
