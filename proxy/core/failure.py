"""What can go wrong, under which code, and may the caller sensibly try again?

The law: every failure that a caller can see is one of these classes, its code never changes, and it
knows whether a byte of the request may have reached the upstream (`sent`). Mapping into them happens
in two tables only: statuses here, library exceptions in `upstream/translate`.
"""

from __future__ import annotations

from typing import ClassVar

from proxy.core.value import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamFacts:
    """What the upstream itself said about its failure."""

    name: str
    status: int | None = None
    code: str | None = None
    request_id: str | None = None


class APIError(Exception):
    """Base of all. `detail` is safe to show: it never holds a credential.

    `retry_after` is in seconds; `status` is what the caller gets; `sent` is False only where surely
    no byte of the request reached the upstream; `proxy_status` is the RFC 9209 error type of a
    failure of our own, None for one that the upstream reported; `repeatable` is the upstream's own word
    on whether to send the request again, where it gave one; `told` is True where a stream that had begun
    has said so itself.
    """

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something failed inside the proxy"
    default_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    proxy_status: str | None = None

    def __init__(
        self,
        detail: str = "",
        *,
        status: int | None = None,
        retry_after: float | None = None,
        sent: bool = False,
        upstream: UpstreamFacts | None = None,
        repeatable: bool | None = None,
        proxy_status: str | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.status = self.default_status if status is None else status
        self.retry_after = retry_after
        self.sent = sent
        self.upstream = upstream
        self.repeatable = repeatable
        self.told = False
        if proxy_status is not None:
            self.proxy_status = proxy_status


class InvalidRequestError(APIError):
    code = "invalid_request"
    title = "The upstream rejects the request"
    default_status = 400


class AuthenticationError(APIError):
    code = "authentication"
    title = "The upstream does not accept the credential"
    default_status = 401


class PermissionDeniedError(APIError):
    code = "permission_denied"
    title = "The credential may not do this"
    default_status = 403


class NotFoundError(APIError):
    code = "not_found"
    title = "The upstream has no such resource"
    default_status = 404


class ConflictError(APIError):
    code = "conflict"
    title = "The request conflicts with the state of the resource"
    default_status = 409


class RateLimitError(APIError):
    code = "rate_limited"
    title = "The upstream limits the rate of requests"
    default_status = 429
    retryable = True


class QuotaExhaustedError(APIError):
    code = "quota_exhausted"
    title = "The quota or the money is used up"
    default_status = 429


class ServerError(APIError):
    code = "server_error"
    title = "The upstream failed"
    default_status = 500
    retryable = True


class UnavailableError(APIError):
    code = "unavailable"
    title = "The upstream is unavailable for now"
    default_status = 503
    retryable = True


class UpstreamTimeoutError(APIError):
    code = "upstream_timeout"
    title = "The upstream did not answer in time"
    default_status = 504
    retryable = True
    proxy_status = "http_response_timeout"


class ConnectError(APIError):
    code = "connect_failed"
    title = "The upstream cannot be reached"
    default_status = 502
    retryable = True
    proxy_status = "destination_unavailable"


class UpstreamProtocolError(APIError):
    code = "bad_upstream_response"
    title = "The upstream's answer is broken"
    default_status = 502
    retryable = True
    proxy_status = "http_protocol_error"


class CircuitOpenError(APIError):
    code = "circuit_open"
    title = "The upstream failed too often and is given a rest"
    default_status = 503
    retryable = True
    proxy_status = "destination_unavailable"


class OverloadedError(APIError):
    code = "overloaded"
    title = "Too many requests are waiting"
    default_status = 503
    retryable = True
    proxy_status = "connection_limit_reached"


class DeadlineExceededError(APIError):
    code = "deadline_exceeded"
    title = "The time for the whole request is spent"
    default_status = 504
    retryable = True
    proxy_status = "http_response_timeout"


class CredentialError(APIError):
    code = "credential_unavailable"
    title = "The credential to inject cannot be had"
    default_status = 502
    retryable = True
    proxy_status = "proxy_internal_error"


class NoRouteError(APIError):
    code = "no_route"
    title = "No upstream matches the request"
    default_status = 404
    proxy_status = "destination_not_found"


class PayloadTooLargeError(APIError):
    code = "payload_too_large"
    title = "The request body is too large"
    default_status = 413
    proxy_status = "http_request_error"


class BadRequestError(APIError):
    code = "bad_request"
    title = "The request is malformed or unsafe to forward"
    default_status = 400
    proxy_status = "http_request_error"


class CallerError(APIError):
    code = "unauthorized_caller"
    title = "The proxy's own token is missing or wrong"
    default_status = 407
    proxy_status = "http_request_denied"


class NotCachedError(APIError):
    code = "not_cached"
    title = "The cache has no usable answer and may not ask"
    default_status = 504
    proxy_status = "http_request_denied"


class InternalError(APIError):
    code = "internal"
    title = "Something failed inside the proxy"
    default_status = 500
    proxy_status = "proxy_internal_error"


_BY_STATUS: dict[int, type[APIError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: UpstreamTimeoutError,
    409: ConflictError,
    412: ConflictError,
    423: ConflictError,
    429: RateLimitError,
    503: UnavailableError,
    504: UpstreamTimeoutError,
    529: UnavailableError,
}

_FIRST_FAILURE = 400
_FIRST_SERVER_FAILURE = 500


def of_status(status: int) -> type[APIError] | None:
    """The class of an upstream's status; None where the status reports no failure."""
    if status < _FIRST_FAILURE:
        return None
    known = _BY_STATUS.get(status)
    if known is not None:
        return known
    return InvalidRequestError if status < _FIRST_SERVER_FAILURE else ServerError
