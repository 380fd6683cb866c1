"""Credentials: one file a scheme, each a core.ports.Injector.

A scheme says what the operator writes (`Bearer(token=…)`), what it puts on a request (exactly one
credential, the caller's twins removed), and how it is told (`describe()`), which is all that a log, a
metric, the dashboard or `explain` ever shows. `placing` puts the credential on; `veil` keeps its value
out of everything else.

none    nothing is injected; the caller's own credential passes
bearer  Authorization: Bearer <token>                     RFC 6750 §2.1
basic   Authorization: Basic <base64 of user:password>    RFC 7617
header  any field, as in X-Api-Key: <value>
query   a query parameter, as in ?key=<value>
"""
