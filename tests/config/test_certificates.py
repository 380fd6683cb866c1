import ssl
from pathlib import Path

import pytest
import trustme

from proxy.config.certificates import CertificateError, for_callers, for_upstream
from proxy.config.routes import UpstreamTLS
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
