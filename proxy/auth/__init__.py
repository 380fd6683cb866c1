"""Credentials: one file a scheme, each a core.ports.Injector.

A scheme says what the operator writes (`Bearer(token=…)`), what it puts on a request (exactly one
credential, the caller's twins removed), and how it is told (`describe()`), which is all that a log, a
metric, the dashboard or `explain` ever shows. `placing` puts the credential on; `veil` keeps its value
out of everything else.

none        nothing is injected; the caller's own credential passes
bearer      Authorization: Bearer <token>                     RFC 6750 §2.1
basic       Authorization: Basic <base64 of user:password>    RFC 7617
header      any field, as in X-Api-Key: <value>
query       a query parameter, as in ?key=<value>
granted     a bearer token that is obtained, by one of these: oauth2, jwt_bearer, github_app
sigv4       AWS Signature Version 4, with credentials of aws, over what canonical makes of a request
hmac        a keyed hash over parts that the operator names
mtls        a certificate, which the session shows
several     more than one of them on each request

`renewal` decides when something that expires is obtained anew, `keys` which of several is used, `rotation`
keeps a refresh token that was replaced, `granting` and `endpoint` talk to a provider, `assertion` signs JWTs.
"""
