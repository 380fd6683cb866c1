from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

from proxy.auth.aws import Chain, Written
from proxy.core.failure import CredentialError
from tests.auth.planted import CANARY, Hands, Planted, answered, request
from tests.auth.samples import chain
from tests.auth.test_sigv4 import S3 as ORIGIN


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment with no credential but what a test puts there, and no instance to ask."""
    for name in (
        "ACCESS_KEY_ID",
        "SECRET_ACCESS_KEY",
        "SESSION_TOKEN",
        "PROFILE",
        "DEFAULT_PROFILE",
        "ROLE_ARN",
    ):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return tmp_path


def keys(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "t0ken-canary")


async def test_the_environment_s(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys(monkeypatch, "AKIDENV")
    injector = chain()
    sent = await injector.inject(request(), ORIGIN)
    assert "Credential=AKIDENV/" in (sent.headers.get("authorization") or "")
    assert sent.headers.get("x-amz-security-token") == "t0ken-canary"
    assert injector.expires() is None
    assert injector.describe() == "sigv4 for s3 in eu-west-1, AWS's chain of providers"
    assert injector.mask(f"{CANARY} t0ken-canary") == "*** ***"


async def test_a_profile_s(alone: Path) -> None:
    (alone / "credentials").write_text(
        "[work]\naws_access_key_id = AKIDWORK\naws_secret_access_key = s3cret\n"
    )
    source = Chain("work", Hands(), lambda: 0.0)
    assert (await source.current()).access_key_id == "AKIDWORK"
    assert source.describe() == "AWS profile work"
    assert source.client() != Chain("", Hands(), lambda: 0.0).client()


def test_those_of_another_machine_are_not_taken_for_the_same(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(profile: str = "") -> tuple[str, ...]:
        return Chain(profile, Hands(), lambda: 0.0).client()

    here, named = found(), found("work")
    keys(monkeypatch, "AKIDENV")
    by_key = found()
    assert found("work") == named, "the environment's are not a profile's"
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    assert found() == by_key
    assert found("work") != named
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert len({found(), here, by_key}) == 3
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/one")
    one = found()
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::2:role/two")
    assert found() != one


async def test_a_process_s_which_expire(alone: Path) -> None:
    """botocore's own renewal stands behind ours."""
    script = alone / "give"
    script.write_text(
        "#!/bin/sh\necho '"
        '{"Version": 1, "AccessKeyId": "AKIDPROC", "SecretAccessKey": "s", "SessionToken": "t",'
        ' "Expiration": "2099-01-01T00:00:00Z"}'
        "'\n"
    )
    script.chmod(0o700)
    (alone / "config").write_text(f"[default]\ncredential_process = {script}\n")
    clock = Hands()
    clock.skew = 4070908800 - 600 - 1440938160  # ten minutes before they end
    source = Chain("", clock, lambda: 0.0)
    assert (await source.current()).access_key_id == "AKIDPROC"
    assert source.expires() == pytest.approx(600, abs=5)
    await source.close()


async def test_others_after_a_refusal(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys(monkeypatch, "AKIDONE")
    injector = chain()
    sent = await injector.inject(request(), ORIGIN)
    assert await injector.another(sent, answered(403), request(), ORIGIN) is None
    keys(monkeypatch, "AKIDTWO")
    injector = chain()
    old = await injector.inject(request(), ORIGIN)
    keys(monkeypatch, "AKIDSIX")
    again = await injector.another(old, answered(403), request(), ORIGIN)
    assert again is not None
    assert "Credential=AKIDSIX/" in (again.headers.get("authorization") or "")
    assert await injector.another(old, answered(403), request(), ORIGIN) is not None, "they are here already"


async def test_none_and_broken_ones_are_a_typed_failure(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CredentialError, match="AWS's chain of providers holds no credentials"):
        await Chain("", Hands(), lambda: 0.0).current()
    with pytest.raises(CredentialError, match="AWS profile gone failed: ProfileNotFound"):
        await Chain("gone", Hands(), lambda: 0.0).current()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", CANARY)
    with pytest.raises(CredentialError, match="failed: PartialCredentialsError") as told:
        await Chain("", Hands(), lambda: 0.0).current()
    assert CANARY not in str(told.value)


async def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("botocore"):
            raise ImportError
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(CredentialError, match=r"pip install 'leeward\[aws\]'"):
        await Chain("", Hands(), lambda: 0.0).current()


async def test_written_ones() -> None:
    key = Planted("AKID")
    source = Written(key, Planted(), None)
    assert (await source.current()).session_token is None
    assert await source.after("AKID") is None
    key.value = "AKIDNEW"
    other = await source.after("AKID")
    assert other is not None
    assert other.access_key_id == "AKIDNEW"
    assert source.client() == ("AKIDNEW",)
    assert source.expires() is None
    await source.close()
