from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from proxy.cli import main
from proxy.cli.init import STARTER
from proxy.config.loading import load, schema


def run(*arguments: str) -> object:
    with pytest.raises(SystemExit) as left:
        main(["init", *arguments])
    return left.value.code


def test_the_starter_is_valid_and_needs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run() == 0
    found = load(tmp_path / "leeward.yaml", {}, {})
    assert found.warnings == ()
    assert list(found.settings.upstreams) == ["github"]
    jsonschema.validate(yaml.safe_load(STARTER), schema())


def test_the_lines_that_are_commented_out_are_valid_as_well(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    assert run(str(file)) == 0
    file.write_text(file.read_text().replace("# auth:", "auth:"))
    assert len(list(load(file, {}, {}).settings.secrets())) == 1


def test_it_never_overwrites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("mine")
    assert run(str(file)) == 1
    assert file.read_text() == "mine"
    assert "exists and was left as it is" in capsys.readouterr().err


def test_where_it_cannot_write_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(tmp_path / "none" / "x.yaml")) == 1
    assert "cannot be written: No such file" in capsys.readouterr().err


def test_presets_become_upstreams(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    assert run(str(file), "--preset", "stripe", "--preset", "shopify", "--preset", "stripe") == 0
    found = load(file, {}, {}).settings
    assert list(found.upstreams) == ["stripe", "shopify"]
    assert found.upstreams["shopify"].base_url[0].url == "https://shop.myshopify.com"
    text = file.read_text()
    assert "STRIPE_API_KEY" in text
    jsonschema.validate(yaml.safe_load(text), schema())


def test_what_is_no_preset_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.yaml"
    assert run(str(file), "--preset", "strip") == 2
    assert "strip is no preset; did you mean stripe?" in capsys.readouterr().err
    assert not file.exists()
