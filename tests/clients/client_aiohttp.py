"""What does aiohttp get from the base URL given as the argument? Prints a summary as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from aiohttp import ClientResponse, ClientSession
from yarl import URL

BASE = sys.argv[1] if len(sys.argv) > 1 else ""


async def ask(session: ClientSession, path: str) -> tuple[ClientResponse, str]:
    async with session.get(URL(BASE + path, encoded=True)) as answer:
        return answer, await answer.text()


async def events(session: ClientSession) -> list[str]:
    found = []
    async with session.get(BASE + "/stream") as stream:
        async for line in stream.content:
            if line.startswith(b"data: "):
                found.append(line[6:].strip().decode())
                if len(found) == 1:
                    await ask(session, "/release")
    return found


async def summarise() -> dict[str, Any]:
    summary: dict[str, Any] = {}
    async with ClientSession(headers={"Authorization": "Bearer mine"}) as session:
        answer, body = await ask(session, "/hello")
        summary["get"] = {"status": answer.status, "body": body}
        answer, body = await ask(session, "/echo?q=a%20b&q=%2F")
        summary["query"] = {"status": answer.status, "body": body}
        sent = json.dumps({"name": "caf\u00e9", "n": 1}, ensure_ascii=False, separators=(",", ":"))
        async with session.post(
            BASE + "/echo", data=sent, headers={"Content-Type": "application/json"}
        ) as posted:
            summary["post"] = {"status": posted.status, "body": await posted.text()}
        answer, body = await ask(session, "/missing")
        summary["error"] = {
            "status": answer.status,
            "type": answer.headers["Content-Type"],
            "code": json.loads(body)["code"],
            "header": answer.headers["Leeward-Error"],
        }
        answer, body = await ask(session, "/flaky")
        attempts = answer.headers["Leeward-Attempts"]
        summary["retried"] = {"status": answer.status, "body": body, "attempts": attempts}
        summary["stream"] = await events(session)
        many = await asyncio.gather(*(ask(session, "/popular") for _ in range(40)))
        statuses, bodies = {a.status for a, _ in many}, {b for _, b in many}
        summary["many"] = {"count": len(many), "statuses": [*statuses], "bodies": [*bodies]}
        answer, body = await ask(session, "/limited")
        code, after = json.loads(body)["code"], answer.headers["Retry-After"]
        summary["limited"] = {"status": answer.status, "code": code, "retry_after": after}
    return summary


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(summarise())))
