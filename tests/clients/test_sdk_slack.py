"""Does Slack's own SDK meet through the proxy what it would meet at Slack?"""

from __future__ import annotations

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from tests.clients.vendors import ATTEMPTS, JSON, answer, behind, keys

POST, LIST = "/api/chat.postMessage", "/api/conversations.list"


@pytest.fixture
def proxy(leeward, origin):
    return behind(leeward, origin, "slack")


def client_of(proxy, prefix="slack"):
    return WebClient(token="xoxb-unused", base_url=f"{proxy.base}/{prefix}/")


@pytest.fixture
def client(proxy):
    return client_of(proxy)


def test_a_call(client, origin):
    origin.on(POST).reply(*answer({"ok": True, "ts": "1.2"}))
    assert client.chat_postMessage(channel="C1", text="Hello")["ts"] == "1.2"
    assert keys(origin) == {("Bearer key-of-slack",)}


def test_a_large_answer_passes_whole(client, origin):
    channels = [{"id": f"C{n}", "name": "x" * 100} for n in range(2000)]
    origin.on(LIST).reply(*answer({"ok": True, "channels": channels}))
    assert len(client.conversations_list()["channels"]) == 2000


def test_an_upload(client, proxy, origin):
    target = {"ok": True, "upload_url": f"{proxy.base}/slack/upload/1", "file_id": "F1"}
    origin.on("/api/files.getUploadURLExternal").reply(*answer(target))
    origin.on("/api/upload/1").reply(200, b"OK - 200000")
    origin.on("/api/files.completeUploadExternal").reply(*answer({"ok": True, "files": [{"id": "F1"}]}))
    sent = client.files_upload_v2(content="line\n" * 40_000, filename="a.txt")
    assert sent["files"][0]["id"] == "F1"
    assert origin.hit("/api/upload/1").body.count(b"line\n") == 40_000


@pytest.mark.parametrize(
    ("error", "code", "calls"),
    [
        ("channel_not_found", "not_found", 1),
        ("invalid_auth", "authentication", 1),
        ("missing_scope", "permission_denied", 1),
        ("fatal_error", "server_error", 1),  # may have happened
        ("no_text", "invalid_request", 1),
    ],
)
def test_each_failure_is_the_sdk_s_own(client, origin, error, code, calls):
    origin.on(POST).reply(*answer({"ok": False, "error": error}))
    with pytest.raises(SlackApiError) as raised:
        client.chat_postMessage(channel="C1", text="Hello")
    response = raised.value.response
    assert (response["error"], response.status_code) == (error, 200)
    assert response.headers["Leeward-Error"] == code
    assert origin.count(POST) == calls


def test_a_server_s_failure_in_the_body_is_repeated_where_that_does_no_harm(proxy, origin):
    origin.on(LIST).reply(*answer({"ok": False, "error": "internal_error"})).reply(*answer({"ok": True}))
    answered = proxy.get("/slack/conversations.list")
    assert (answered.status, answered.json()) == (200, {"ok": True})
    assert answered.header("Leeward-Attempts") == "2"


def test_it_is_never_stored(proxy, origin):
    fresh = [JSON, ("Cache-Control", "max-age=60")]
    origin.on("/api/team.info").reply(200, b'{"ok": false, "error": "team_not_found"}', fresh)
    for _ in range(2):
        answered = proxy.get("/slack/team.info")
        assert answered.header("Leeward-Error") == "not_found"
        assert "detail=failure-in-body" in (answered.header("Cache-Status") or "")
    assert origin.count("/api/team.info") == 2


def test_a_limit_by_status(client, origin):
    limited = answer({"ok": False, "error": "ratelimited"})[1]
    origin.on(LIST).reply(429, limited, [JSON, ("Retry-After", "0")])
    with pytest.raises(SlackApiError) as raised:
        client.conversations_list()
    assert (raised.value.response["error"], raised.value.response.status_code) == ("ratelimited", 429)
    assert origin.count(LIST) == ATTEMPTS


@pytest.mark.parametrize(
    ("prefix", "status", "code"), [("gone", 502, "connect_failed"), ("slow", 504, "upstream_timeout")]
)
def test_a_failure_of_ours_is_the_sdk_s_own_as_well(proxy, origin, prefix, status, code):
    origin.on(POST).never()
    with pytest.raises(SlackApiError) as raised:
        client_of(proxy, prefix).chat_postMessage(channel="C1", text="Hello")
    assert (raised.value.response.status_code, raised.value.response["error"]) == (status, code)


def test_calls_of_a_dead_vendor_stay_within_the_budget(proxy, origin):
    origin.on(LIST).reply(503)
    client = client_of(proxy, "dear")
    for _ in range(10):
        with pytest.raises(SlackApiError):
            client.conversations_list()
    assert origin.count(LIST) <= 12
