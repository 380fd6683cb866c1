"""Leeward: a caching, retrying reverse proxy for HTTP APIs, run as a sidecar.

Nine words are used everywhere in one meaning:

Request/Response  a message as bytes say it, its body pulled lazily       core/message.py
Route             where requests of a kind go, and all rules for them     core/routing.py
Entry             a stored response with what its reuse depends on        core/caching/entry.py
Decision          a small frozen outcome: Hit, Skip, Again …              core/caching, core/resilience
Reason            the named why of a decision                             core/reason.py
Failure           what went wrong, as the caller sees it: an APIError     core/failure.py
Exchange          the one record of one request                           core/exchange.py
Port              what core and gateway ask of the edges                  core/ports.py
Settings          what the operator wrote, validated                      config/settings.py

`core` decides, everything else acts. Imports run downwards only:
cli → server → admin → wiring → config → {gateway, auth, stores, upstream, observe} → core.
"""

__version__ = "0.1.0"
