"""Why was it decided so? The closed list: one word everywhere (header, log, metric, `explain`)."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """A decision's name. `sentence` says it to a person; the README lists both."""

    # What the cache decides
    FRESH = "fresh"
    URI_MISS = "uri-miss"
    VARY_MISS = "vary-miss"
    PART_MISS = "part-miss"
    EXPIRED = "expired"
    NO_CACHE = "no-cache"
    MAX_STALE = "max-stale"
    WHILE_REVALIDATE = "stale-while-revalidate"
    IF_ERROR = "stale-if-error"
    ORIGIN_GONE = "origin-gone"
    REQUEST_NO_CACHE = "request-no-cache"
    REQUEST_NO_STORE = "request-no-store"
    REQUEST_MAX_AGE = "request-max-age"
    REQUEST_MIN_FRESH = "request-min-fresh"
    ONLY_IF_CACHED = "only-if-cached"
    CACHE_OFF = "cache-off"
    METHOD = "method"
    REQUEST_BODY = "request-body"
    MUTATION = "mutation"
    RANGE = "range"
    UPGRADE = "upgrade"
    PRECONDITION = "precondition"
    NO_STORE = "no-store"
    PRIVATE = "private"
    AUTHORIZED = "authorized"
    SET_COOKIE = "set-cookie"
    VARY_ANY = "vary-any"
    PARTIAL = "partial"
    NOT_MODIFIED = "not-modified"
    NOT_UNDERSTOOD = "not-understood"
    NO_FRESHNESS = "no-freshness"
    UNCACHEABLE_STATUS = "uncacheable-status"
    FAILURE_IN_BODY = "failure-in-body"
    TOO_LARGE = "too-large"
    COALESCED = "coalesced"
    CHANGED_MEANWHILE = "changed-meanwhile"
    REPLAYED = "idempotent-replay"
    KEY_REUSED = "key-reused"

    # What retrying decides
    STATUS = "status"
    RETRY_AFTER = "retry-after"
    SHOULD_RETRY = "should-retry"
    CONNECT = "connect"
    TIMEOUT = "timeout"
    PROTOCOL = "protocol"
    HEDGED = "hedged"
    FINAL = "final"
    ATTEMPTS_USED = "attempts-used"
    MAY_HAVE_HAPPENED = "may-have-happened"
    BODY_NOT_REPLAYABLE = "body-not-replayable"
    BODY_TOO_LARGE = "body-too-large"
    NO_ROOM = "no-room"
    SPOOL_FAILED = "spool-failed"
    RETRY_AFTER_TOO_LONG = "retry-after-too-long"
    NO_TIME_LEFT = "no-time-left"
    SHOULD_NOT_RETRY = "should-not-retry"
    BUDGET_SPENT = "budget-spent"
    ANOTHER_CREDENTIAL = "another-credential"

    # What holds an attempt back
    CIRCUIT_OPEN = "circuit-open"
    HOLD_OFF = "hold-off"
    RATE_LIMIT = "rate-limit"
    PACED = "paced"
    QUEUED = "queued"

    @property
    def sentence(self) -> str:
        return _SENTENCES[self]


_SENTENCES: dict[Reason, str] = {
    Reason.FRESH: "A stored answer is fresh.",
    Reason.URI_MISS: "Nothing is stored for this request.",
    Reason.VARY_MISS: "What is stored was selected by other request fields, which Vary names.",
    Reason.PART_MISS: "Only another part of the answer is stored.",
    Reason.EXPIRED: "The stored answer is no longer fresh.",
    Reason.NO_CACHE: "The origin wants its answer validated before every use.",
    Reason.MAX_STALE: "The caller accepts an answer that is this stale.",
    Reason.WHILE_REVALIDATE: "The stale answer may be used while a new one is fetched.",
    Reason.IF_ERROR: "The upstream failed, and the stale answer may be used meanwhile.",
    Reason.ORIGIN_GONE: "The upstream cannot be reached, and nothing forbids the stale answer.",
    Reason.REQUEST_NO_CACHE: "The caller wants the stored answer validated.",
    Reason.REQUEST_NO_STORE: "The caller wants nothing stored.",
    Reason.REQUEST_MAX_AGE: "The stored answer is older than the caller accepts.",
    Reason.REQUEST_MIN_FRESH: "The stored answer stays fresh for less time than the caller asks.",
    Reason.ONLY_IF_CACHED: "The caller wants a stored answer or none, and none can be used.",
    Reason.CACHE_OFF: "The cache is switched off for this route.",
    Reason.METHOD: "Answers to this method are not cached here.",
    Reason.REQUEST_BODY: "The request has a body that is no part of the key.",
    Reason.MUTATION: "The GraphQL request may change something, or nobody but the server knows.",
    Reason.RANGE: "The caller asks for a part.",
    Reason.UPGRADE: "The caller asks for another protocol.",
    Reason.PRECONDITION: "The caller sets a condition that only the origin can check.",
    Reason.NO_STORE: "The origin forbids storing.",
    Reason.PRIVATE: "The origin allows private caches only, and this one is shared.",
    Reason.AUTHORIZED: "The request was authorised, and the origin does not allow sharing its answer.",
    Reason.SET_COOKIE: "The answer sets a cookie.",
    Reason.VARY_ANY: "The answer varies by what no cache can know.",
    Reason.PARTIAL: "The answer is a part.",
    Reason.NOT_MODIFIED: "The answer has no content of its own.",
    Reason.NOT_UNDERSTOOD: "The origin wants its status understood by who stores it, and it is not known.",
    Reason.NO_FRESHNESS: "The answer says neither how long it may be used nor how to validate it.",
    Reason.UNCACHEABLE_STATUS: "An answer with this status is stored only where it says for how long.",
    Reason.FAILURE_IN_BODY: "The answer says in its body that it failed, whatever its status says.",
    Reason.TOO_LARGE: "The answer is larger than an entry may be.",
    Reason.COALESCED: "Another request was already fetching the same, and failed.",
    Reason.CHANGED_MEANWHILE: "The resource was changed or purged while its answer was on the way.",
    Reason.REPLAYED: "The request was made before with this Idempotency-Key, and has its first answer.",
    Reason.KEY_REUSED: "The Idempotency-Key was used before for another request.",
    Reason.STATUS: "The upstream's status is one that is retried.",
    Reason.RETRY_AFTER: "The upstream's status is one that is retried, and it said how long to wait.",
    Reason.SHOULD_RETRY: "The upstream said that the request may be sent again.",
    Reason.CONNECT: "No connection could be had, so nothing was sent.",
    Reason.TIMEOUT: "The upstream did not answer within the attempt's time.",
    Reason.PROTOCOL: "The connection broke, or the answer made no sense.",
    Reason.HEDGED: "The answer took longer than nearly all, so another attempt was begun beside it.",
    Reason.FINAL: "This outcome is not one that is retried.",
    Reason.ATTEMPTS_USED: "All attempts are used up.",
    Reason.MAY_HAVE_HAPPENED: "The upstream may have done it already, and doing it twice may do harm.",
    Reason.BODY_NOT_REPLAYABLE: "The request body was not kept, so it cannot be sent again.",
    Reason.BODY_TOO_LARGE: "The request body is larger than what is kept of one to send it again.",
    Reason.NO_ROOM: "The bodies of other requests take up all that may be kept.",
    Reason.SPOOL_FAILED: "The request body could not be written to disk.",
    Reason.RETRY_AFTER_TOO_LONG: "The upstream asks to wait longer than the configuration allows.",
    Reason.NO_TIME_LEFT: "The wait would not fit into what is left of the total time.",
    Reason.SHOULD_NOT_RETRY: "The upstream said that the request must not be sent again.",
    Reason.ANOTHER_CREDENTIAL: "The upstream refused the credential, and there is another one to send.",
    Reason.BUDGET_SPENT: "Retries to this upstream have used up their share of its requests.",
    Reason.CIRCUIT_OPEN: "The upstream failed too often and is given a rest.",
    Reason.HOLD_OFF: "The upstream wants no calls with this credential for now.",
    Reason.RATE_LIMIT: "The limit configured for this upstream was reached.",
    Reason.PACED: "Little is left of the upstream's quota, and it is spread over the time to its reset.",
    Reason.QUEUED: "All places under way to this upstream were taken.",
}
