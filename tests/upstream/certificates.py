"""A throw-away authority and what it signed, valid for loopback; nothing outside these tests trusts it."""

from __future__ import annotations

import ssl
from pathlib import Path

AUTHORITY = """\
-----BEGIN CERTIFICATE-----
MIIBlzCCAT2gAwIBAgIUEZ48Mi7snDldL1IFW8UsNmH4xHYwCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNTGVld2FyZCB0ZXN0czAgFw0yNjExMjIxMTU4MDlaGA8yMTI2
MTAyOTExNTgwOVowGDEWMBQGA1UEAwwNTGVld2FyZCB0ZXN0czBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABEB2rzNHoEOJJAa9y9zO2MqBxbNkXbfEu05CNv88kYH/
cmY+PBJekNMtNV336cdBy+oCe0r41+aU6zx2dH3Lyd+jYzBhMB0GA1UdDgQWBBRG
1M14bMY6p23NsVjsdPfbbbdbTjAfBgNVHSMEGDAWgBRG1M14bMY6p23NsVjsdPfb
bbdbTjAPBgNVHRMBAf8EBTADAQH/MA4GA1UdDwEB/wQEAwIBBjAKBggqhkjOPQQD
AgNIADBFAiA5OgV4K3wygVZYIIFp0IXxRIXyqODXK3jybVTzJS0MggIhAPdNK2R7
oMvnoQEO3HHwePtzvhZ+MUN2hf7DE5+NxGCY
-----END CERTIFICATE-----
"""
SERVER = """\
-----BEGIN CERTIFICATE-----
MIIBizCCATGgAwIBAgIUV1w0FTFNnbHwk5F0WQDfv1p3mnQwCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNTGVld2FyZCB0ZXN0czAgFw0yNjExMjIxMTU4MDlaGA8yMTI1
MDYxNjExNTgwOVowETEPMA0GA1UEAwwGc2VydmVyMFkwEwYHKoZIzj0CAQYIKoZI
zj0DAQcDQgAEf9wKsLLxje1fXQA16hlTqcf+2/XPw/rS6+ZSeyWKGdcVsiHITk9u
aeQF8LWfG5ZXDyfCEleR2wKPFvHYaoyf3qNeMFwwGgYDVR0RBBMwEYIJbG9jYWxo
b3N0hwR/AAABMB8GA1UdIwQYMBaAFEbUzXhsxjqnbc2xWOx099ttt1tOMB0GA1Ud
DgQWBBTmnF5dI8bXz8h/ntxOeltB8JgulDAKBggqhkjOPQQDAgNIADBFAiBixnSu
+3H4U68AdDVFHLdin7w+XkHih2oTdzVcGQZURAIhAI2WZyh+n3UqVho155uu4+4I
JrTk1hb4VAnL8m6gKExP
-----END CERTIFICATE-----
"""
SERVER_KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg5Ltg+fyGkfNvlzBP
aGxy+HmbgGMEJvwxLDeFt/H1iCShRANCAAR/3AqwsvGN7V9dADXqGVOpx/7b9c/D
+tLr5lJ7JYoZ1xWyIchOT25p5AXwtZ8bllcPJ8ISV5HbAo8W8dhqjJ/e
-----END PRIVATE KEY-----
"""
CLIENT = """\
-----BEGIN CERTIFICATE-----
MIIBhDCCASqgAwIBAgIUV1w0FTFNnbHwk5F0WQDfv1p3mnUwCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNTGVld2FyZCB0ZXN0czAgFw0yNjExMjIxMTU4MDlaGA8yMTI1
MDYxNjExNTgwOVowETEPMA0GA1UEAwwGY2xpZW50MFkwEwYHKoZIzj0CAQYIKoZI
zj0DAQcDQgAEYUCgioHGpORDilLbcHHDZw5ERA5SlzSmwbKcURTlZaS4WEHCpmS6
vsYD+qqVaVgEsmyO1VwMm1YAWRgUbxxUEaNXMFUwEwYDVR0lBAwwCgYIKwYBBQUH
AwIwHwYDVR0jBBgwFoAURtTNeGzGOqdtzbFY7HT32223W04wHQYDVR0OBBYEFKgl
L4RFiDlSVVPKohm3OrdMVleKMAoGCCqGSM49BAMCA0gAMEUCIQCYWeg/srqMKPfB
r51HGytVuQJVmEIldHBYsfJGEPyQRgIgEKVct+1AmPZa51s2URslkOB1GjjiY9FH
sLcLjwdd/QY=
-----END CERTIFICATE-----
"""
CLIENT_KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgUF1KeHxXTmgdhAf1
O52U2BPjWpeqcJk19xY5CcWPgnOhRANCAARhQKCKgcak5EOKUttwccNnDkREDlKX
NKbBspxRFOVlpLhYQcKmZLq+xgP6qpVpWASybI7VXAybVgBZGBRvHFQR
-----END PRIVATE KEY-----
"""


def _chain(context: ssl.SSLContext, folder: Path, *texts: str) -> ssl.SSLContext:
    file = folder / "chain.pem"
    file.write_text("".join(texts), encoding="ascii")
    context.load_cert_chain(file)
    return context


def server_side(folder: Path, *, clients: bool = False) -> ssl.SSLContext:
    """Of a server at localhost and 127.0.0.1; `clients` demands a certificate of them."""
    context = _chain(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), folder, SERVER, SERVER_KEY)
    if clients:
        context.load_verify_locations(cadata=AUTHORITY)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_side(folder: Path | None = None) -> ssl.SSLContext:
    """Of a client that trusts the authority; with a folder it has a certificate too."""
    context = ssl.create_default_context(cadata=AUTHORITY)
    return context if folder is None else _chain(context, folder, CLIENT, CLIENT_KEY)
