import pytest

from proxy.core import failure as f


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, None),
        (304, None),
        (399, None),
        (400, f.InvalidRequestError),
        (401, f.AuthenticationError),
        (402, f.InvalidRequestError),
        (403, f.PermissionDeniedError),
        (404, f.NotFoundError),
        (405, f.InvalidRequestError),
        (406, f.InvalidRequestError),
        (408, f.UpstreamTimeoutError),
        (409, f.ConflictError),
        (410, f.InvalidRequestError),
        (411, f.InvalidRequestError),
        (412, f.ConflictError),
        (414, f.InvalidRequestError),
        (415, f.InvalidRequestError),
        (416, f.InvalidRequestError),
        (422, f.InvalidRequestError),
        (423, f.ConflictError),
        (429, f.RateLimitError),
        (451, f.InvalidRequestError),
        (500, f.ServerError),
        (501, f.ServerError),
        (502, f.ServerError),
        (503, f.UnavailableError),
        (504, f.UpstreamTimeoutError),
        (529, f.UnavailableError),
        (599, f.ServerError),
        (999, f.ServerError),
    ],
)
def test_a_status_has_one_class(status, kind):
    assert f.of_status(status) is kind


CONTRACT = {
    "invalid_request": (f.InvalidRequestError, 400, False),
    "authentication": (f.AuthenticationError, 401, False),
    "permission_denied": (f.PermissionDeniedError, 403, False),
    "not_found": (f.NotFoundError, 404, False),
    "conflict": (f.ConflictError, 409, False),
    "rate_limited": (f.RateLimitError, 429, True),
    "quota_exhausted": (f.QuotaExhaustedError, 429, False),
    "server_error": (f.ServerError, 500, True),
    "unavailable": (f.UnavailableError, 503, True),
    "upstream_timeout": (f.UpstreamTimeoutError, 504, True),
    "connect_failed": (f.ConnectError, 502, True),
    "bad_upstream_response": (f.UpstreamProtocolError, 502, True),
    "circuit_open": (f.CircuitOpenError, 503, True),
    "overloaded": (f.OverloadedError, 503, True),
    "deadline_exceeded": (f.DeadlineExceededError, 504, True),
    "credential_unavailable": (f.CredentialError, 502, True),
    "no_route": (f.NoRouteError, 404, False),
    "payload_too_large": (f.PayloadTooLargeError, 413, False),
    "bad_request": (f.BadRequestError, 400, False),
    "unauthorized_caller": (f.CallerError, 407, False),
    "not_cached": (f.NotCachedError, 504, False),
    "internal": (f.InternalError, 500, False),
}


@pytest.mark.parametrize("code", CONTRACT)
def test_the_contract_s_table(code):
    kind, status, retryable = CONTRACT[code]
    failure = kind()
    assert (failure.code, failure.status, failure.retryable) == (code, status, retryable)
    assert failure.detail == kind.title == str(failure)
    assert isinstance(failure, f.APIError)


def test_a_failure_carries_what_it_was_given():
    facts = f.UpstreamFacts(name="github", status=429)
    failure = f.RateLimitError("slow down", retry_after=3.5, sent=True, upstream=facts)
    assert (failure.detail, failure.retry_after, failure.sent, failure.upstream) == (
        "slow down",
        3.5,
        True,
        facts,
    )
