"""Does PyGithub meet through the proxy what it would meet at GitHub?"""

from __future__ import annotations

import time

import github
import pytest
from github import Auth, Github

from tests.clients.vendors import ATTEMPTS, JSON, answer, behind, echo, keys

USER = "/users/octocat"


@pytest.fixture
def proxy(leeward, origin):
    return behind(leeward, origin, "github")


def client_of(proxy, prefix="github"):
    # Its own ten retries cannot be told to stop, so they are left to the proxy.
    return Github(
        base_url=f"{proxy.base}/{prefix}",
        auth=Auth.Token("unused"),
        retry=None,
        seconds_between_requests=None,
        seconds_between_writes=None,
    )


@pytest.fixture
def client(proxy):
    with client_of(proxy) as made:
        yield made


def test_a_call(client, origin):
    origin.on(USER).reply(*answer({"login": "octocat", "id": 1, "name": "The Octocat"}))
    assert client.get_user("octocat").name == "The Octocat"
    assert keys(origin) == {("Bearer key-of-github",)}


def test_pages_are_followed_through_the_proxy(client, origin):
    def link(page: int) -> list[tuple[str, str]]:
        return [JSON, ("Link", f'<https://api.github.com/users/octocat/repos?page={page}>; rel="next"')]

    origin.on(USER).reply(*answer({"login": "octocat", "id": 1, "url": f"{client.requester.base_url}{USER}"}))
    origin.on("/users/octocat/repos").reply(*answer([{"id": 1, "name": "one"}, {"id": 2, "name": "two"}]))
    assert [repo.name for repo in client.get_user("octocat").get_repos()] == ["one", "two"]


def test_an_upload(client, origin):
    repo = f"{client.requester.base_url}/repos/o/r"
    origin.on("/repos/o/r").reply(*answer({"id": 1, "name": "r", "url": repo}))
    path = "/repos/o/r/contents/a.txt"
    origin.on(path).raw(
        echo(lambda hit: {"content": {"path": "a.txt", "size": len(hit.body)}, "commit": {"sha": "1"}})
    )
    made = client.get_repo("o/r").create_file("a.txt", "A file", "x" * 100_000)
    assert made["content"].size > 100_000


LIMITED = {"message": "API rate limit exceeded for user ID 1.", "documentation_url": "https://x"}
SECONDARY = {"message": "You have exceeded a secondary rate limit.", "documentation_url": "https://x"}


@pytest.mark.parametrize(
    ("status", "document", "fields", "kind", "calls"),
    [
        (401, {"message": "Bad credentials"}, (), github.BadCredentialsException, 1),
        (403, {"message": "Resource not accessible"}, (), github.GithubException, 1),
        (404, {"message": "Not Found"}, (), github.UnknownObjectException, 1),
        (422, {"message": "Validation Failed"}, (), github.GithubException, 1),
        (500, {"message": "Server Error"}, (), github.GithubException, ATTEMPTS),
        (403, SECONDARY, [("Retry-After", "0")], github.RateLimitExceededException, ATTEMPTS),
    ],
)
def test_each_failure_is_the_sdk_s_own(client, origin, status, document, fields, kind, calls):
    origin.on(USER).reply(status, answer(document)[1], [JSON, *fields])
    with pytest.raises(kind) as raised:
        client.get_user("octocat")
    assert type(raised.value) is kind
    assert raised.value.status == status
    assert origin.count(USER) == calls


def test_a_spent_hour_is_not_hammered(proxy, origin):
    reset = str(int(time.time()) + 1800)
    spent = [JSON, ("X-RateLimit-Remaining", "0"), ("X-RateLimit-Limit", "60"), ("X-RateLimit-Reset", reset)]
    origin.on("/spent").reply(403, answer(LIMITED)[1], spent)
    with client_of(proxy, "other") as client:
        for _ in range(3):  # the first is GitHub's own answer, the others are ours
            with pytest.raises(github.RateLimitExceededException) as raised:
                client.requester.requestJsonAndCheck("GET", "/spent")
            fields = raised.value.headers or {}
            assert 1700 < int(fields["retry-after"]) <= 1801
            assert fields["leeward-error"] == "rate_limited"
    assert origin.count("/spent") == 1


@pytest.mark.parametrize(("prefix", "status"), [("gone", 502), ("slow", 504)])
def test_a_failure_of_ours_is_the_sdk_s_own_as_well(proxy, origin, prefix, status):
    origin.on(USER).never()
    with client_of(proxy, prefix) as client, pytest.raises(github.GithubException) as raised:
        client.get_user("octocat")
    assert raised.value.status == status
    assert raised.value.message


def test_calls_of_a_dead_vendor_stay_within_the_budget(proxy, origin):
    origin.on(USER).reply(503)
    with client_of(proxy, "dear") as client:
        for _ in range(10):
            with pytest.raises(github.GithubException):
                client.get_user("octocat")
    assert origin.count(USER) <= 12
