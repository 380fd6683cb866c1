"""What does Python's urllib get from the base URL given as the argument? Prints a summary as JSON."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

BASE = sys.argv[1] if len(sys.argv) > 1 else ""
OPENER = build_opener(ProxyHandler({}))


def send(path: str, body: bytes | None = None) -> HTTPResponse | HTTPError:
    headers = {"Authorization": "Bearer mine"} | ({"Content-Type": "application/json"} if body else {})
    try:
        answer: HTTPResponse = OPENER.open(Request(BASE + path, body, headers), timeout=30)
    except HTTPError as error:
        return error
    return answer


def ask(path: str, body: bytes | None = None) -> tuple[Any, str]:
    with send(path, body) as answer:
        return answer, answer.read().decode()


def events() -> list[str]:
    found = []
    with send("/stream") as stream:
        for line in stream:
            if line.startswith(b"data: "):
                found.append(line[6:].strip().decode())
                if len(found) == 1:
                    ask("/release")
    return found


def main() -> None:
    summary: dict[str, Any] = {}
    answer, body = ask("/hello")
    summary["get"] = {"status": answer.status, "body": body}
    answer, body = ask("/echo?q=a%20b&q=%2F")
    summary["query"] = {"status": answer.status, "body": body}
    sent = json.dumps({"name": "caf\u00e9", "n": 1}, ensure_ascii=False, separators=(",", ":")).encode()
    answer, body = ask("/echo", sent)
    summary["post"] = {"status": answer.status, "body": body}
    answer, body = ask("/missing")
    summary["error"] = {
        "status": answer.status,
        "type": answer.headers["Content-Type"],
        "code": json.loads(body)["code"],
        "header": answer.headers["Leeward-Error"],
    }
    answer, body = ask("/flaky")
    summary["retried"] = {
        "status": answer.status,
        "body": body,
        "attempts": answer.headers["Leeward-Attempts"],
    }
    summary["stream"] = events()
    with ThreadPoolExecutor(20) as pool:
        many = list(pool.map(ask, ["/popular"] * 40))
    statuses, bodies = {a.status for a, _ in many}, {b for _, b in many}
    summary["many"] = {"count": len(many), "statuses": [*statuses], "bodies": [*bodies]}
    answer, body = ask("/limited")
    summary["limited"] = {
        "status": answer.status,
        "code": json.loads(body)["code"],
        "retry_after": answer.headers["Retry-After"],
    }
    sys.stdout.write(json.dumps(summary))


if __name__ == "__main__":
    main()
