"""What can be said about one upstream, and what does it come to in core's terms?

Each section validates the operator's words and yields core's own value from them, so that nothing
above `config` sees a pydantic model of a policy.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from proxy.config.addresses import BaseUrls, HostName, Prefix
from proxy.config.credentials import Auth, MtlsCredential, NoCredential
from proxy.config.fields import FieldName
from proxy.config.later import Later
from proxy.config.units import Duration, Size
from proxy.config.words import BodyField, FieldValue, Method, Ratio, Status, Wait
from proxy.core.caching.policy import CachePolicy, KeyPolicy, Scope
from proxy.core.caching.tags import FIELDS
from proxy.core.dialect import PLAIN, Dialect
from proxy.core.resilience.breaker import BreakerPolicy
from proxy.core.resilience.budget import BudgetPolicy
from proxy.core.resilience.endpoints import Balance, CheckPolicy
from proxy.core.resilience.hedging import HedgePolicy
from proxy.core.resilience.limit import RatePolicy
from proxy.core.resilience.queue import QueuePolicy
from proxy.core.resilience.quota import PacePolicy
from proxy.core.resilience.retry import RetryPolicy
from proxy.core.routing import ErrorMode, Match, Timeouts

# Few write these two, so that their models are imported and built with the first that is written.
if TYPE_CHECKING:
    from proxy.config.dialects import DialectSettings, ProbeSettings

    SomeDialect = DialectSettings | None
    SomeProbe = ProbeSettings | None
else:

    def _dialect() -> Any:
        from proxy.config.dialects import DialectSettings  # noqa: PLC0415

        return DialectSettings | None

    def _probe() -> Any:
        from proxy.config.dialects import ProbeSettings  # noqa: PLC0415

        return ProbeSettings | None

    SomeDialect = Annotated[Any, Later(_dialect)]
    SomeProbe = Annotated[Any, Later(_probe)]

KIB, MIB = 1024, 1024**2


class Section(BaseModel):
    """A mapping of the file: unknown keys are errors, values never change, messages quote nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)


class HeaderSettings(Section):
    """Fields of requests: `set` replaces the caller's, `default` gives way to it, `remove` drops it."""

    set: dict[FieldName, FieldValue] = {}
    default: dict[FieldName, FieldValue] = {}
    remove: list[FieldName] = []

    def pairs(self) -> tuple[tuple[str, str], ...]:
        return tuple(self.set.items())

    def removed(self) -> frozenset[str]:
        return frozenset(name.lower() for name in self.remove)


class TimeoutSettings(Section):
    """`total` spans all attempts; `idle` is between chunks of a stream."""

    connect: Wait = 5.0
    attempt: Wait = 30.0
    idle: Wait = 60.0
    total: Wait = 60.0

    def timeouts(self) -> Timeouts:
        return Timeouts(connect=self.connect, attempt=self.attempt, idle=self.idle, total=self.total)


class BackoffSettings(Section):
    initial: Duration = 0.2
    factor: Annotated[float, Field(ge=1, le=100)] = 2.0
    max: Duration = 10.0


class BudgetSettings(Section):
    ratio: Ratio = 0.2
    min_per_second: Annotated[float, Field(ge=0)] = 2.0

    def policy(self) -> BudgetPolicy:
        return BudgetPolicy(ratio=self.ratio, min_per_second=self.min_per_second)


class HedgeSettings(Section):
    """A second attempt begins beside one that is later than `quantile` of the recent answers."""

    quantile: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    min_delay: Duration = 0.01

    def policy(self) -> HedgePolicy:
        return HedgePolicy(quantile=self.quantile, least=self.min_delay)


class RetrySettings(Section):
    attempts: Annotated[int, Field(ge=1, le=100)] = 3
    backoff: BackoffSettings = Field(default_factory=dict, validate_default=True)
    statuses: list[Status] = [408, 429, 500, 502, 503, 504]
    methods: list[Method] = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]
    max_retry_after: Duration = 30.0
    budget: BudgetSettings | None = Field(default_factory=dict, validate_default=True)
    hedge: HedgeSettings | None = None
    idempotency_key: FieldName | None = None
    max_replay_body: Size = MIB
    max_spool_body: Size = 0

    def policy(self) -> RetryPolicy:
        return RetryPolicy(
            attempts=self.attempts,
            initial=self.backoff.initial,
            factor=self.backoff.factor,
            max_wait=self.backoff.max,
            statuses=frozenset(self.statuses),
            methods=frozenset(self.methods),
            max_retry_after=self.max_retry_after,
            idempotency_key=self.idempotency_key,
            max_replay_body=self.max_replay_body,
            max_spool_body=self.max_spool_body,
            budget=None if self.budget is None else self.budget.policy(),
            hedge=None if self.hedge is None else self.hedge.policy(),
        )


class BreakerSettings(Section):
    failure_ratio: Annotated[float, Field(gt=0, le=1)] = 0.5
    min_requests: Annotated[int, Field(ge=1)] = 20
    window: Wait = 30.0
    open_for: Wait = 15.0

    def policy(self) -> BreakerPolicy:
        return BreakerPolicy(
            failure_ratio=self.failure_ratio,
            min_requests=self.min_requests,
            window=self.window,
            open_for=self.open_for,
        )


class HealthCheckSettings(Section):
    """Each `base_url` is asked for `path`, without a credential; an answer below 400 is well."""

    path: Annotated[str, Field(pattern=r"^/[!-~]*$")]
    interval: Wait = 10.0
    timeout: Wait = 2.0
    unhealthy_after: Annotated[int, Field(ge=1)] = 3
    healthy_after: Annotated[int, Field(ge=1)] = 2

    def policy(self) -> CheckPolicy:
        return CheckPolicy(
            path=self.path,
            interval=self.interval,
            timeout=self.timeout,
            unhealthy_after=self.unhealthy_after,
            healthy_after=self.healthy_after,
        )


class RateLimitSettings(Section):
    requests: Annotated[int, Field(ge=1)]
    per: Wait = 60.0
    burst: Annotated[int, Field(ge=1)] | None = None
    max_wait: Duration = 5.0

    def policy(self) -> RatePolicy:
        """Without `burst`, a tenth of the requests may go at once."""
        burst = self.burst or max(1, self.requests // 10)
        return RatePolicy(requests=self.requests, per=self.per, burst=burst, max_wait=self.max_wait)


class PacingSettings(Section):
    """Below `threshold` of the quota that the upstream tells, calls are spread to its reset."""

    threshold: Ratio = 0.1
    max_wait: Duration = 2.0

    def policy(self) -> PacePolicy:
        return PacePolicy(threshold=self.threshold, max_wait=self.max_wait)


class ConcurrencySettings(Section):
    """`adaptive`: the limit follows the upstream's answering times, and is `max` at most."""

    max: Annotated[int, Field(ge=1)] = 256
    max_queue: Annotated[int, Field(ge=0)] = 1024
    adaptive: bool = False

    def policy(self) -> QueuePolicy:
        return QueuePolicy(most=self.max, most_waiting=self.max_queue, adaptive=self.adaptive)


class KeySettings(Section):
    """What the cache key leaves out, and what it takes in beside the target."""

    ignore_query: list[Annotated[str, Field(min_length=1)]] = []
    headers: list[FieldName] = []
    ignore_body_fields: list[BodyField] = []


class CacheSettings(Section):
    enabled: bool = True
    scope: Scope = Scope.CREDENTIAL
    default_ttl: Duration = 0.0
    override_ttl: Duration | None = None
    stale_while_revalidate: Duration = 0.0
    stale_if_error: Duration = 0.0
    negative_ttl: dict[Annotated[int, Field(ge=300, le=599)], Duration] = {}
    methods: list[Method] = ["GET", "HEAD"]
    store_set_cookie: bool = False
    key: KeySettings = Field(default_factory=dict, validate_default=True)

    def policy(self, *, max_entry_bytes: int, tag_headers: Iterable[str] = FIELDS) -> CachePolicy:
        """Both are the whole cache's settings; `max_entry_bytes` is in bytes."""
        return CachePolicy(
            enabled=self.enabled,
            scope=self.scope,
            default_ttl=self.default_ttl,
            override_ttl=self.override_ttl,
            stale_while_revalidate=self.stale_while_revalidate,
            stale_if_error=self.stale_if_error,
            negative_ttl=dict(self.negative_ttl),
            methods=frozenset(self.methods),
            store_set_cookie=self.store_set_cookie,
            key=KeyPolicy(
                ignore_query=tuple(self.key.ignore_query),
                headers=tuple(name.lower() for name in self.key.headers),
                ignore_body_fields=tuple(self.key.ignore_body_fields),
            ),
            max_entry_bytes=max_entry_bytes,
            tag_headers=tuple(name.lower() for name in tag_headers),
        )


class IdempotencySettings(Section):
    """For callers that send an Idempotency-Key: how long the first answer stands for it."""

    ttl: Wait = 86400.0


class UpstreamTLS(Section):
    """Files: our certificate for the upstream (mTLS), and the authority that signed the upstream's."""

    cert: Annotated[str, Field(min_length=1)] | None = None
    key: Annotated[str, Field(min_length=1)] | None = None
    ca: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _pair(self) -> UpstreamTLS:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key belong together; write both or neither")
        return self


class MatchSettings(Section):
    """A missing part matches all. `path`: `*` within a segment, `**` across."""

    method: Method | None = None
    path: Annotated[str, Field(pattern=r"^[/*][^?#]*$")] | None = None

    def match(self) -> Match:
        return Match(method=self.method, path=self.path)


class RuleSettings(Section):
    """What is different for the requests that match; the first matching rule counts."""

    match: MatchSettings = Field(default_factory=dict, validate_default=True)
    cache: CacheSettings | None = None
    retry: RetrySettings | None = None
    timeout: TimeoutSettings | None = None
    errors: ErrorMode | None = None
    idempotency: IdempotencySettings | None = None


class UpstreamDefaults(Section):
    """All keys of an upstream, none of them required; what stands here holds where the upstream is silent."""

    preset: Annotated[str, Field(min_length=1)] | None = None
    base_url: BaseUrls | None = None
    prefix: Prefix | None = None
    host: HostName | None = None
    auth: Auth = NoCredential()
    allow: Annotated[list[MatchSettings], Field(min_length=1)] | None = None
    tls: UpstreamTLS | None = None
    headers: HeaderSettings = Field(default_factory=dict, validate_default=True)
    forwarded: bool = False
    timeout: TimeoutSettings = Field(default_factory=dict, validate_default=True)
    retry: RetrySettings = Field(default_factory=dict, validate_default=True)
    balance: Balance = Balance.IN_ORDER
    health_check: HealthCheckSettings | None = None
    circuit_breaker: BreakerSettings | None = Field(default_factory=dict, validate_default=True)
    rate_limit: RateLimitSettings | None = None
    pacing: PacingSettings | None = Field(default_factory=dict, validate_default=True)
    concurrency: ConcurrencySettings | None = Field(default_factory=dict, validate_default=True)
    cache: CacheSettings = Field(default_factory=dict, validate_default=True)
    errors: ErrorMode = ErrorMode.TRANSLATE
    dialect: SomeDialect = None
    probe: SomeProbe = None
    idempotency: IdempotencySettings | None = None
    rules: list[RuleSettings] = []


class UpstreamSettings(UpstreamDefaults):
    """One upstream, with `defaults` merged below what it says itself and its prefix filled in."""

    base_url: BaseUrls
    prefix: Prefix

    def route_prefix(self) -> str:
        """As core has it: "" stands for every path."""
        return "" if self.prefix == "/" else self.prefix

    def speaks(self) -> Dialect:
        """How the API tells what failed; PLAIN where nothing is known of that."""
        return PLAIN if self.dialect is None else self.dialect.dialect()

    def allowed(self) -> tuple[Match, ...] | None:
        return None if self.allow is None else tuple(one.match() for one in self.allow)

    def certificates(self) -> UpstreamTLS | None:
        """What is shown and trusted in TLS, wherever it is written."""
        several = self.auth if isinstance(self.auth, tuple) else (self.auth,)
        for one in several:
            if isinstance(one, MtlsCredential):
                ca = one.ca if one.ca is not None or self.tls is None else self.tls.ca
                return UpstreamTLS(cert=one.cert, key=one.key, ca=ca)
        return self.tls

    @model_validator(mode="after")
    def _one_certificate(self) -> UpstreamSettings:
        own = self.certificates()
        if self.tls is not None and self.tls.cert is not None and own is not self.tls:
            raise ValueError("auth of type mtls and tls.cert are two certificates; write one of them")
        return self

    def ruled(self, rule: RuleSettings) -> UpstreamSettings:
        """This upstream as a rule changes it: what the rule leaves out stays."""
        changed: dict[str, Any] = {"rules": []}
        for name in ("cache", "retry", "timeout", "errors", "idempotency"):
            over = getattr(rule, name)
            if over is not None:
                changed[name] = _laid_over(getattr(self, name), over)
        return self.model_copy(update=changed)


def _laid_over(under: Any, over: Any) -> Any:
    if isinstance(under, dict) and isinstance(over, dict):
        return {**under, **over}
    if not isinstance(under, BaseModel) or type(under) is not type(over):
        return over
    names = over.model_fields_set
    changed = {name: _laid_over(getattr(under, name), getattr(over, name)) for name in names}
    return under.model_copy(update=changed)
