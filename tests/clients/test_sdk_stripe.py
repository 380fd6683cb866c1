"""Does Stripe's own SDK meet through the proxy what it would meet at Stripe?"""

from __future__ import annotations

import io

import pytest
import stripe

from tests.clients.vendors import ATTEMPTS, answer, behind, echo, keys

CUSTOMERS = "/v1/customers"


@pytest.fixture
def proxy(leeward, origin):
    return behind(leeward, origin, "stripe")


def client_of(proxy, prefix="stripe"):
    base = f"{proxy.base}/{prefix}"
    return stripe.StripeClient("sk_unused", base_addresses={"api": base, "files": base})


@pytest.fixture
def client(proxy):
    return client_of(proxy)


def create(client):
    return client.v1.customers.create({"email": "a@example.com"})


def test_a_call(client, origin):
    origin.on(CUSTOMERS).raw(
        echo(lambda hit: {"id": "cus_1", "object": "customer", "email": hit.body.decode()})
    )
    made = create(client)
    assert (made.id, made.email) == ("cus_1", "email=a%40example.com")
    assert keys(origin) == {("Bearer key-of-stripe",)}


def test_a_post_is_repeated_under_its_own_key(client, origin):
    origin.on(CUSTOMERS).reply(500).reply(409).reply(*answer({"id": "cus_1", "object": "customer"}))
    assert create(client).id == "cus_1"
    sent = [tuple(hit.headers("idempotency-key")) for hit in origin.hits(CUSTOMERS)]
    assert len(sent) == 3
    assert len(set(sent)) == 1


def test_an_upload(client, origin):
    origin.on("/v1/files").raw(
        echo(lambda hit: {"id": "file_1", "object": "file", "size": hit.body.count(b"line\n")})
    )
    sent = client.v1.files.create({"purpose": "dispute_evidence", "file": io.BytesIO(b"line\n" * 40_000)})
    assert sent.size == 40_000


FAILURES = [
    (400, {"type": "invalid_request_error", "code": "parameter_missing"}, stripe.InvalidRequestError, 1),
    (400, {"type": "idempotency_error"}, stripe.IdempotencyError, 1),
    (400, {"type": "invalid_request_error", "code": "rate_limit"}, stripe.RateLimitError, ATTEMPTS),
    (401, {"type": "invalid_request_error"}, stripe.AuthenticationError, 1),
    (402, {"type": "card_error", "code": "card_declined"}, stripe.CardError, 1),
    (403, {"type": "invalid_request_error"}, stripe.PermissionError, 1),
    (404, {"type": "invalid_request_error", "code": "resource_missing"}, stripe.InvalidRequestError, 1),
    (409, {"type": "invalid_request_error", "code": "lock_timeout"}, stripe.APIError, ATTEMPTS),
    (429, {"type": "invalid_request_error", "code": "rate_limit"}, stripe.RateLimitError, ATTEMPTS),
    (500, {"type": "api_error"}, stripe.APIError, ATTEMPTS),
]


@pytest.mark.parametrize(("status", "error", "kind", "calls"), FAILURES)
def test_each_failure_is_the_sdk_s_own_and_is_repeated_by_nobody_else(
    client, origin, status, error, kind, calls
):
    origin.on(CUSTOMERS).reply(*answer({"error": {**error, "message": "It went wrong."}}, status))
    with pytest.raises(kind) as raised:
        create(client)
    assert type(raised.value) is kind
    assert (raised.value.http_status, raised.value.user_message) == (status, "It went wrong.")
    assert origin.count(CUSTOMERS) == calls, "the SDK's own two retries are held back"


def test_the_vendor_s_word_goes_before_ours(client, origin):
    origin.on(CUSTOMERS).reply(409, b"{}", [("Stripe-Should-Retry", "false"), *answer("")[2]])
    with pytest.raises(stripe.StripeError):
        create(client)
    assert origin.count(CUSTOMERS) == 1


@pytest.mark.parametrize(
    ("prefix", "status", "code"), [("gone", 502, "connect_failed"), ("slow", 504, "upstream_timeout")]
)
def test_a_failure_of_ours_is_the_sdk_s_own_as_well(proxy, origin, prefix, status, code):
    origin.on(CUSTOMERS).never()
    client = stripe.StripeClient(
        "sk_unused", base_addresses={"api": f"{proxy.base}/{prefix}"}, max_network_retries=0
    )
    with pytest.raises(stripe.APIError) as raised:
        create(client)
    assert (raised.value.http_status, raised.value.code) == (status, None)
    assert code in str(raised.value.json_body)
    assert raised.value.request_id


def test_calls_of_a_dead_vendor_stay_within_the_budget(proxy, origin):
    origin.on(CUSTOMERS).reply(503)
    client = client_of(proxy, "dear")
    for _ in range(10):
        with pytest.raises(stripe.APIError):
            client.v1.customers.list()
    assert origin.count(CUSTOMERS) <= 12
