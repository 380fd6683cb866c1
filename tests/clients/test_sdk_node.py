"""Do the vendors' own SDKs for Node meet through the proxy what they would meet at the vendors?"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import program
from tests.clients.vendors import ATTEMPTS, JSON, NOBODY, answer, echo, events

HERE = Path(__file__).resolve().parent / "node"
INSTALLING = 300  # seconds
PATIENCE = 120


@pytest.fixture(scope="session")
def packages(tmp_path_factory) -> Path:
    """The SDKs in the versions of package-lock.json."""
    folder: Path = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    done = subprocess.run(
        [program("npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=INSTALLING,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


CHUNK = (
    'data: {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", '
    '"choices": [{"index": 0, "delta": {"content": "Hel"}}]}\n\n'
)
OPENAI = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    409: "ConflictError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
    500: "InternalServerError",
}
STRIPE = {
    400: "StripeInvalidRequestError",
    401: "StripeAuthenticationError",
    402: "StripeCardError",
    403: "StripePermissionError",
    404: "StripeInvalidRequestError",
    409: "StripeAPIError",
    429: "StripeRateLimitError",
    500: "StripeAPIError",
}
STRIPE_TYPES = {402: "card_error", 409: "api_error", 500: "api_error"}
GITHUB = {"m401": 401, "m403": 403, "m404": 404, "m422": 422, "m500": 500, "limited": 403}
TIGHT = {"budget": {"ratio": 0.2, "min_per_second": 0.1}}
CODES = {
    "m401": "authentication",
    "m403": "permission_denied",
    "m404": "not_found",
    "m422": "invalid_request",
    "m500": "server_error",
    "limited": "rate_limited",
}


def scripted(origin) -> None:
    """What the three vendors answer."""
    message = {"role": "assistant", "content": "Hi"}
    whole = {"object": "chat.completion", "choices": [{"index": 0, "message": message}]}
    chat, stream = answer(whole)[1], events(CHUNK, CHUNK[:40], last=False)
    origin.on("/o/chat/completions").reply(200, chat, [JSON]).raw(*stream, then="reset")
    origin.on("/o/files").raw(echo(lambda hit: {"id": "f", "bytes": hit.body.count(b"line\n")}))
    for status in OPENAI:
        error = {"message": "No.", "type": "some", "param": None, "code": f"e{status}"}
        origin.on(f"/o/models/m{status}").reply(*answer({"error": error}, status))
    spent = {"message": "No.", "type": "insufficient_quota", "code": "insufficient_quota"}
    origin.on("/o/models/quota").reply(*answer({"error": spent}, 429))
    origin.on("/v1/customers").reply(500).reply(*answer({"id": "cus_1", "object": "customer"}))
    origin.on("/v1/files").raw(echo(lambda hit: {"object": "file", "size": hit.body.count(b"line\n")}))
    for status in STRIPE:
        error = {"type": STRIPE_TYPES.get(status, "invalid_request_error"), "message": "No."}
        origin.on(f"/v1/customers/c{status}").reply(*answer({"error": error}, status))
    origin.on("/g/users/octocat").reply(*answer({"login": "octocat", "name": "The Octocat"}))
    for name, status in GITHUB.items():
        if name != "limited":
            origin.on(f"/g/users/{name}").reply(*answer({"message": "No."}, status))
    limited = answer({"message": "You have exceeded a secondary rate limit."})[1]
    for path in ("/dead/models", "/dead/zen"):
        origin.on(path).reply(503)
    origin.on("/g/users/limited").reply(403, limited, [JSON, ("Retry-After", "0")])


def test_node_s_sdks(leeward, origin, packages):
    def at(preset: str, path: str, **more: Any) -> dict[str, Any]:
        return {"preset": preset, "base_url": f"{origin.url}{path}", **more}

    nobody = f"http://127.0.0.1:{NOBODY}"
    upstreams = {
        "openai": at("openai", "/o"),
        "stripe": at("stripe", "", prefix="/"),
        "github": at("github", "/g"),
        "gone": {"preset": "openai", "base_url": nobody},
        "away": {"preset": "github", "base_url": nobody},
        # Dead ones: over ten seconds one retry, or a fifth of the calls.
        "dear": at("openai", "/dead", retry=TIGHT),
        "rare": at("github", "/dead", retry=TIGHT),
    }
    env = {
        "OPENAI_API_KEY": "key-of-openai",
        "STRIPE_API_KEY": "key-of-stripe",
        "GITHUB_TOKEN": "key-of-github",
    }
    proxy = leeward({"upstreams": upstreams}, env=env)
    scripted(origin)
    done = subprocess.run(
        [program("node"), "sdks.mjs", proxy.base, str(packages)],
        cwd=HERE,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert told["openai"] == {
        "call": "Hi",
        "stream": {"got": ["Hel"], "kind": "APIError", "code": "bad_upstream_response"},
        "upload": 40_000,
        "failures": [[status, kind, status, f"e{status}"] for status, kind in OPENAI.items()],
        "quota": ["RateLimitError", "insufficient_quota"],
        "ours": ["InternalServerError", 502, "connect_failed"],
    }
    assert told["stripe"] == {
        "call": "cus_1",
        "upload": 40_000,
        "failures": [[status, kind, status] for status, kind in STRIPE.items()],
    }
    assert told["github"] == {
        "call": "The Octocat",
        "failures": [[name, "HttpError", status, CODES[name]] for name, status in GITHUB.items()],
        "ours": ["HttpError", 502, True],
    }
    # Nobody repeats beside the proxy, and what cannot get better goes once.
    assert origin.count("/o/models/m500") == origin.count("/o/models/m429") == ATTEMPTS
    assert origin.count("/o/models/quota") == origin.count("/o/models/m400") == 1
    assert origin.count("/v1/customers/c500") == origin.count("/v1/customers/c409") == ATTEMPTS
    assert origin.count("/v1/customers/c402") == 1
    assert origin.count("/g/users/limited") == ATTEMPTS
    # Ten calls, and a fifth more.
    for path in ("/dead/models", "/dead/zen"):
        assert 10 <= origin.count(path) <= 12
    keys = {"key-of-openai", "key-of-stripe", "key-of-github"}
    assert {value for hit in origin.hits() for value in hit.headers("authorization")} == {
        f"Bearer {key}" for key in keys
    }
