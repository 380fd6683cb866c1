"""What does the admin port answer?

The law: reading changes nothing; what changes something is a POST with a JSON body, so that no form and
no image can cause it; every error is a JSON document; nothing here knows a secret.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from proxy.admin.asked import Sources, UnknownUpstreamError
from proxy.admin.guard import Guard, Local
from proxy.admin.stored import UnclearError, meant, purge
from proxy.core.failure import BadRequestError, NoRouteError, PermissionDeniedError

MOST_ROWS = 1000
_USUAL_ROWS = 100
_MOST_BODY = 64 * 1024  # bytes
_LOGGER = logging.getLogger("leeward.admin")

_SECURITY = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "leeward",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_FOLDER = Path(__file__).parent
# Read with the module: they never change while we run, and no request should wait for a disk.
_PAGE = {
    "/": ((_FOLDER / "dashboard.html").read_bytes(), "text/html"),
    "/dashboard.css": ((_FOLDER / "dashboard.css").read_bytes(), "text/css"),
    "/dashboard.js": ((_FOLDER / "dashboard.js").read_bytes(), "text/javascript"),
}

_CODES = {404: "not_found", 503: "no_worker"}


def application(sources: Sources, *, hosts: Iterable[str] = ()) -> web.Application:
    """The admin port's application. `hosts` are further names under which the operator reaches it."""
    endpoints = _Endpoints(sources)
    app = web.Application(middlewares=[_answering(Guard(hosts))], client_max_size=_MOST_BODY)
    app.router.add_get("/metrics", endpoints.metrics)
    app.router.add_get("/healthz", endpoints.healthz)
    app.router.add_get("/readyz", endpoints.readyz)
    app.router.add_get("/api/v1/status", endpoints.status)
    app.router.add_get("/api/v1/requests", endpoints.requests)
    app.router.add_get("/api/v1/explain", endpoints.explain)
    app.router.add_get("/api/v1/cache", endpoints.cache)
    app.router.add_post("/api/v1/cache/purge", endpoints.purge)
    app.router.add_post("/api/v1/drain", endpoints.drain)
    app.router.add_post("/api/v1/reload", endpoints.reload)
    for path, (body, kind) in _PAGE.items():
        app.router.add_get(path, _served(body, kind))
    return app


class _Endpoints:
    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    async def metrics(self, request: web.Request) -> web.Response:
        page, content_type = await self._sources.exposition(request.headers.get(hdrs.ACCEPT, ""))
        return web.Response(body=page, headers={hdrs.CONTENT_TYPE: content_type})

    async def healthz(self, _request: web.Request) -> web.Response:
        return _json({"status": "ok"})

    async def readyz(self, _request: web.Request) -> web.Response:
        ready, detail = await self._sources.readiness()
        return _json({"ready": ready, **detail}, status=200 if ready else 503)

    async def status(self, _request: web.Request) -> web.Response:
        return _json(await self._sources.status())

    async def requests(self, request: web.Request) -> web.Response:
        limit = _limit(request)
        if limit is None:
            return _error(422, "bad_limit", "`limit` is a whole number.")
        return _json({"requests": await self._sources.requests(limit)})

    async def cache(self, request: web.Request) -> web.Response:
        limit = _limit(request)
        if limit is None:
            return _error(422, "bad_limit", "`limit` is a whole number.")
        try:
            asked = meant({name: value for name, value in request.query.items() if value})
            return _json({"entries": await self._sources.cache(asked, limit)})
        except UnclearError as error:
            return _error(422, "bad_filter", str(error))
        except UnknownUpstreamError:
            return _error(404, "unknown_upstream", "No upstream has this name.")

    async def explain(self, request: web.Request) -> web.Response:
        path = request.query.get("path", "")
        if not path:
            return _error(
                422, "bad_path", "Name a `path`, as in /api/v1/explain?method=GET&path=/github/zen."
            )
        target = path.encode("utf-8", "surrogateescape").decode("latin-1")
        try:
            return _json(await self._sources.explain(request.query.get("method", "GET").upper(), target))
        except NoRouteError as error:
            return _error(404, error.code, error.detail)
        except PermissionDeniedError as error:
            return _error(403, error.code, error.detail)
        except BadRequestError as error:
            return _error(422, error.code, error.detail)

    async def purge(self, request: web.Request) -> web.Response:
        asked = await _object(request)
        if isinstance(asked, web.Response):
            return asked
        try:
            return _json({"purged": await self._sources.purge(purge(asked))})
        except UnclearError as error:
            return _error(422, "bad_purge", str(error))
        except UnknownUpstreamError:
            return _error(404, "unknown_upstream", "No upstream has this name.")

    async def drain(self, request: web.Request) -> web.Response:
        asked = await _object(request)
        if isinstance(asked, web.Response):
            return asked
        self._sources.drain()
        return _json({"draining": True}, status=202)

    async def reload(self, request: web.Request) -> web.Response:
        asked = await _object(request)
        if isinstance(asked, web.Response):
            return asked
        problems = await self._sources.reload()
        if not problems:
            return _json({"reloaded": True})
        refused = {"error": "not_reloaded", "detail": "Nothing was changed.", "problems": problems}
        return _json(refused, status=422)


def _answering(guard: Guard) -> Any:
    """The middleware around everything: who may ask, what every answer carries, errors as JSON."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await _guarded(request, handler)
        response.headers.update(_SECURITY)
        return response

    async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        fields = request.headers
        refusal = guard.refuse(
            local=_local(request),
            path=request.raw_path.partition("?")[0],
            hosts=fields.getall(hdrs.HOST, []),
            origins=fields.getall(hdrs.ORIGIN, []),
            sites=fields.getall("Sec-Fetch-Site", []),
        )
        if refusal is not None:
            return _error(refusal.status, refusal.code, refusal.detail)
        try:
            return await handler(request)
        except web.HTTPMethodNotAllowed as wrong:
            allowed = ", ".join(sorted(wrong.allowed_methods))
            refused = _error(405, "method_not_allowed", f"Here one may {allowed}.")
            refused.headers[hdrs.ALLOW] = allowed
            return refused
        except web.HTTPRequestEntityTooLarge:
            return _error(413, "too_large", f"A request here has at most {_MOST_BODY} bytes.")
        except web.HTTPException as other:
            return _error(other.status, _CODES.get(other.status, "refused"), other.reason)
        except Exception:
            _LOGGER.exception("An admin request failed")
            return _error(500, "internal", "Something failed inside the proxy; its log says what.")

    return answer


def _limit(request: web.Request) -> int | None:
    text = request.query.get("limit", str(_USUAL_ROWS))
    whole = text.isascii() and text.isdigit() and len(text) <= len("1000000")
    return min(int(text), MOST_ROWS) if whole else None


def _local(request: web.Request) -> Local | None:
    name = None if request.transport is None else request.transport.get_extra_info("sockname")
    if isinstance(name, tuple):
        return str(name[0]), int(name[1])
    # Only what surely is a Unix socket is free of the checks; a connection already gone is nobody's.
    return None if isinstance(name, str | bytes) else ("", 0)


async def _object(request: web.Request) -> dict[str, Any] | web.Response:
    """The JSON object of a request that changes something; a refusal for anything else."""
    if request.content_type != "application/json":
        return _error(415, "json_only", "Send it with Content-Type: application/json.")
    body = await request.read()
    try:
        asked = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError):
        return _error(400, "bad_json", "The body is not JSON.")
    if not isinstance(asked, dict):
        return _error(422, "bad_json", "The body is not a JSON object.")
    return asked


def _served(body: bytes, kind: str) -> Handler:
    async def serve(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=kind, charset="utf-8")

    return serve


def _json(members: Mapping[str, Any], *, status: int = 200) -> web.Response:
    body = json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
    return web.Response(body=body, status=status, content_type="application/json")


def _error(status: int, code: str, detail: str) -> web.Response:
    return _json({"error": code, "detail": detail}, status=status)
