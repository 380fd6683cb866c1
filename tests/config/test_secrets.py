from __future__ import annotations

import copy
import json
import os
import pickle
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from proxy.config.secrets import EnvSecret, FileSecret, LiteralSecret, Secret, SecretOrNothing, secret
from proxy.core.failure import CredentialError

CANARY = "canary-7f3a"


class Holder(BaseModel):
    token: Secret


def test_the_three_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "token"
    kept.write_text(f"{CANARY}\n")
    monkeypatch.setenv("A_TOKEN", CANARY)
    for written, place in [
        (CANARY, "configuration"),
        ({"env": "A_TOKEN"}, "env A_TOKEN"),
        ({"file": str(kept)}, f"file {kept}"),
    ]:
        found = Holder(token=written).token
        assert found.reveal() == CANARY
        assert found.describe() == place


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("", "is empty"),
        ("a\nb", "holds a line feed"),
        ("a\rb", "holds a carriage return"),
        ("a\0b", "holds a NUL"),
        (12345, "put it in quotes"),
        (None, "should be a secret"),
        ([CANARY], "should be a secret"),
        ({"env": "A", "file": "b"}, "exactly one place"),
        ({"evn": CANARY}, "did you mean env"),
        ({"FILES": CANARY}, "did you mean file"),
        ({CANARY: "x"}, "an unknown key"),
        ({"env": ""}, "the name of a variable"),
        ({"env": CANARY}, "the name of a variable"),
        ({}, "exactly one place"),
        ("***", "was hidden"),
    ],
)
def test_what_is_no_secret_is_refused_and_never_quoted(written: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message.replace("*", r"\*")) as caught:
        Holder.model_validate({"token": written})
    assert CANARY not in str(caught.value.errors(include_input=False))


def test_half_of_a_basic_credential_may_be_empty() -> None:
    class Half(BaseModel):
        password: SecretOrNothing

    assert Half.model_validate({"password": ""}).password.reveal() == ""
    assert Half.model_validate({"password": "x"}).password.reveal() == "x"


def renderings(thing: object) -> list[str]:
    return [repr(thing), str(thing), f"{thing}", f"{thing!r:>5}", pickle.dumps(thing).decode("latin-1")]


def test_no_rendering_shows_a_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "token"
    kept.write_text(CANARY)
    monkeypatch.setenv("A_TOKEN", CANARY)
    for written in (CANARY, {"env": "A_TOKEN"}, {"file": str(kept)}):
        holder = Holder.model_validate({"token": written})
        assert holder.token.reveal() == CANARY  # also what a file's secret keeps in memory stays inside
        shown = [*renderings(holder), *renderings(holder.token)]
        shown += [
            str(holder.model_dump()),
            holder.model_dump_json(),
            json.dumps(holder.model_dump(mode="json")),
        ]
        shown += [str(holder.__dict__), str(dict(holder))]
        assert all(CANARY not in one for one in shown)
        assert "***" in repr(holder)
        assert holder.model_dump() == {"token": "***"}


def test_a_pickled_literal_says_that_it_is_lost() -> None:
    with pytest.raises(CredentialError, match="did not come along"):
        pickle.loads(pickle.dumps(LiteralSecret(CANARY))).reveal()


def test_places_survive_a_pickle_and_everything_survives_a_copy(tmp_path: Path) -> None:
    kept = tmp_path / "token"
    kept.write_text(CANARY)
    for found in (EnvSecret("A_TOKEN"), FileSecret(kept)):
        assert pickle.loads(pickle.dumps(found)) == found
        assert hash(found) == hash(copy.copy(found))
    for one in (LiteralSecret(CANARY), FileSecret(kept)):
        assert copy.deepcopy(one).reveal() == CANARY
        assert copy.copy(one) == one
        assert hash(one) == hash(copy.deepcopy(one))


def test_a_secret_equals_one_of_the_same_form_only() -> None:
    assert secret("a") == LiteralSecret("a")
    assert secret("a") != LiteralSecret("b")
    assert secret({"env": "a"}) != secret({"file": "a"})
    assert secret(secret("a")) == secret("a")


@pytest.mark.parametrize(
    ("value", "message"),
    [(None, "is not set"), ("", "is empty"), ("\n", "is empty"), ("a\nb", "holds a line feed")],
)
def test_an_unusable_variable_is_a_credential_error(
    value: str | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("A_TOKEN", raising=False)
    if value is not None:
        monkeypatch.setenv("A_TOKEN", value)
    with pytest.raises(CredentialError, match=message):
        EnvSecret("A_TOKEN").reveal()


def test_a_variables_trailing_newline_is_stripped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", f"{CANARY}\r\n")
    assert EnvSecret("A_TOKEN").reveal() == CANARY


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"a\nb\n", "holds a line feed"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"x" * 70_000, "is larger than 64 KiB"),
    ],
)
def test_an_unusable_file_is_a_credential_error(raw: bytes, message: str, tmp_path: Path) -> None:
    kept = tmp_path / "token"
    kept.write_bytes(raw)
    with pytest.raises(CredentialError, match=message) as caught:
        FileSecret(kept).reveal()
    assert "xxx" not in str(caught.value)


def test_a_missing_file_a_folder_and_a_pipe_are_credential_errors(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, message in [("none", "No such file"), (".", "cannot be read"), ("pipe", "not a regular file")]:
        with pytest.raises(CredentialError, match=message):
            FileSecret(tmp_path / name).reveal()


def test_a_file_is_read_once_until_it_is_refreshed(tmp_path: Path) -> None:
    kept = tmp_path / "token"
    held = FileSecret(kept)
    with pytest.raises(CredentialError, match="No such file"):
        held.reveal()
    kept.write_text("one")
    with pytest.raises(CredentialError):
        held.reveal()  # on the way of a request no file is opened a second time
    assert held.refresh()
    assert held.reveal() == "one"
    kept.write_text("two, longer")
    assert held.reveal() == "one"
    assert held.refresh()
    assert held.reveal() == "two, longer"
    assert not held.refresh()


def test_a_file_is_followed_through_kubernetes_symlink_swap(tmp_path: Path) -> None:
    for day, value in (("..monday", "one"), ("..tuesday", "two")):
        (tmp_path / day).mkdir()
        (tmp_path / day / "token").write_text(value)
        os.utime(
            tmp_path / day / "token", ns=(10**18, 10**18)
        )  # same size, same time: only the inode differs
    (tmp_path / "..data").symlink_to("..monday")
    (tmp_path / "token").symlink_to("..data/token")
    held = FileSecret(tmp_path / "token")
    assert held.reveal() == "one"
    (tmp_path / "..new").symlink_to("..tuesday")
    (tmp_path / "..new").rename(tmp_path / "..data")
    assert held.refresh()
    assert held.reveal() == "two"


def test_a_file_that_went_bad_leaves_the_last_good_value(tmp_path: Path) -> None:
    kept = tmp_path / "token"
    kept.write_text("good")
    held = FileSecret(kept)
    assert held.reveal() == "good"
    for spoil in (kept.unlink, lambda: kept.write_text(""), lambda: kept.write_bytes(b"\xff\xff")):
        spoil()
        assert not held.refresh()
        assert held.reveal() == "good"
    kept.write_text("better")
    assert held.refresh()
    assert held.reveal() == "better"
