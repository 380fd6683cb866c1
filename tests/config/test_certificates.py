import contextlib
import ssl
from pathlib import Path

import pytest
import trustme
from cryptography.x509 import load_pem_x509_certificate

from proxy.config.certificates import (
    CertificateError,
    certified_caller_side,
    certified_upstream_side,
    for_callers,
    for_upstream,
    upstream_sides,
)
from proxy.config.routes import UpstreamSettings, UpstreamTLS
from proxy.config.settings import ServerTLS


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    trustme.CA().issue_cert("x").private_key_pem.write_to_path(tmp_path / "other.pem")
    (tmp_path / "junk.pem").write_text("junk")
    return {path.stem: str(path) for path in tmp_path.iterdir()}


def test_callers_show_a_certificate_only_where_asked(files):
    plain = for_callers(ServerTLS(cert=files["cert"], key=files["key"]))
    assert plain.verify_mode is ssl.CERT_NONE
    strict = for_callers(ServerTLS(cert=files["cert"], key=files["key"], client_ca=files["ca"]))
    assert strict.verify_mode is ssl.CERT_REQUIRED


def test_an_upstream_is_always_verified(files):
    for said in ({}, {"ca": files["ca"]}, {"cert": files["cert"], "key": files["key"]}):
        context = for_upstream(UpstreamTLS(**said))
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize(
    ("cert", "key"),
    [("cert", "other"), ("junk", "key"), ("cert", "junk"), ("cert", "missing"), ("missing", "key")],
)
def test_files_that_cannot_be_used_are_named(files, cert, key):
    files = {**files, "missing": "/nowhere/missing.pem"}
    with pytest.raises(CertificateError, match=r"\.pem") as caught:
        for_callers(ServerTLS(cert=files[cert], key=files[key]))
    assert files[cert] in str(caught.value)
    with pytest.raises(CertificateError):
        for_upstream(UpstreamTLS(cert=files[cert], key=files[key]))


@pytest.mark.parametrize("authority", ["junk", "missing"])
def test_an_authority_that_is_none(files, authority):
    file = files.get(authority, "/nowhere/missing.pem")
    with pytest.raises(CertificateError, match=file):
        for_upstream(UpstreamTLS(ca=file))


def test_an_encrypted_key_is_an_error_and_never_a_prompt(files, tmp_path):
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(Path(files["key"]).read_bytes(), None)
    locked = tmp_path / "locked.pem"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"passphrase"),
        )
    )
    with pytest.raises(CertificateError, match="locked"):
        for_callers(ServerTLS(cert=files["cert"], key=str(locked)))


def issue(authority: trustme.CA, folder: Path, *parts: str) -> int:
    """Writes a new certificate, or only its parts; its serial number."""
    mine = authority.issue_cert("127.0.0.1")
    if "key" in parts:
        mine.private_key_pem.write_to_path(folder / "key.pem")
    if "cert" in parts:
        mine.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    return load_pem_x509_certificate(mine.cert_chain_pems[0].bytes()).serial_number


def meet(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[int | None, int | None]:
    """A handshake in memory: the serial numbers that the server and the client have shown."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    asks = client.wrap_bio(back, there, server_hostname="127.0.0.1")
    answers = server.wrap_bio(there, back, server_side=True)
    for _ in range(5):
        for side in (asks, answers):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return tuple(
        None if not (shown := side.getpeercert()) else int(str(shown["serialNumber"]), 16)
        for side in (asks, answers)
    )  # type: ignore[return-value] # two of them


def test_what_callers_are_shown_is_renewed_when_all_of_it_is_there(tmp_path: Path) -> None:
    authority = trustme.CA()
    client = ssl.create_default_context()
    authority.configure_trust(client)
    first = issue(authority, tmp_path, "cert", "key")
    said = ServerTLS(cert=str(tmp_path / "cert.pem"), key=str(tmp_path / "key.pem"))
    certified = certified_caller_side(said)
    assert certified.look(), "it may have changed since it was read"
    assert not certified.look()
    issue(authority, tmp_path, "cert")
    with pytest.raises(CertificateError, match=r"cert\.pem"):
        certified.look()
    assert not certified.look(), "told once"
    assert meet(certified.context, client) == (first, None)
    context, second = certified.context, issue(authority, tmp_path, "cert", "key")
    assert certified.look()
    certified.renew()
    assert certified.context is context
    assert meet(context, client) == (second, None)
    (tmp_path / "key.pem").unlink()
    with pytest.raises(CertificateError, match=r"key\.pem"):
        certified.look()
    assert meet(context, client) == (second, None)


def test_what_an_upstream_is_shown_and_whom_we_trust_is_renewed(tmp_path: Path) -> None:
    old, new = trustme.CA(), trustme.CA()
    old.cert_pem.write_to_path(tmp_path / "ca.pem")
    first = issue(old, tmp_path, "cert", "key")
    said = UpstreamTLS(**{part: str(tmp_path / f"{part}.pem") for part in ("cert", "key", "ca")})
    certified = certified_upstream_side(said)

    def server(authority: trustme.CA) -> ssl.SSLContext:
        made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        made.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(made)
        authority.issue_cert("127.0.0.1").configure_cert(made)
        return made

    assert meet(server(old), certified.context)[1] == first
    second = issue(new, tmp_path, "cert", "key")
    new.cert_pem.write_to_path(tmp_path / "ca.pem")
    assert certified.look()
    certified.renew()
    assert certified.file == said.cert
    assert meet(server(new), certified.context)[1] == second


def test_what_is_shown_is_told_by_what_is_in_the_file(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    issue(authority, tmp_path, "cert", "key")
    files = {part: str(tmp_path / f"{part}.pem") for part in ("cert", "key", "ca")}
    tls = {"shown": UpstreamTLS(**files), "trusting": UpstreamTLS(ca=files["ca"]), "plain": None}
    upstreams = {
        name: UpstreamSettings(base_url=["https://a.example"], prefix="/", tls=said)
        for name, said in tls.items()
    }

    def digests() -> dict[str, bytes]:
        return {name: one.digest for name, one in upstream_sides(upstreams).items()}

    before = digests()
    assert before == digests()
    assert (set(before), before["trusting"], len(before["shown"])) == ({"shown", "trusting"}, b"", 32)
    issue(authority, tmp_path, "cert", "key")
    assert digests()["shown"] != before["shown"]
    (tmp_path / "cert.pem").unlink()
    with pytest.raises(CertificateError, match=r"cert\.pem"):
        digests()


def test_what_changes_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    authority = trustme.CA()
    issue(authority, tmp_path, "cert", "key")
    certified = certified_upstream_side(
        UpstreamTLS(cert=str(tmp_path / "cert.pem"), key=str(tmp_path / "key.pem"))
    )
    assert not certified.look()
    issue(authority, tmp_path, "cert", "key")
    assert certified.look()
