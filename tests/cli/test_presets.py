from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from proxy.cli import main
from proxy.cli.presets import slot
from proxy.config import presets


def run(*arguments: str) -> object:
    with pytest.raises(SystemExit) as left:
        main(["presets", *arguments])
    return left.value.code


def test_the_list_names_each_with_what_it_reads(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
    assert set(rows) == set(presets.names())
    assert rows["stripe"] == ["https://api.stripe.com", "bearer", "STRIPE_API_KEY"]
    assert rows["anthropic"] == ["https://api.anthropic.com", "x-api-key", "ANTHROPIC_API_KEY"]
    assert rows["shopify"][0] == "https://SHOP.myshopify.com"
    assert rows["generic"][1:] == ["none", "-"]


@pytest.mark.parametrize("name", presets.names())
def test_one_is_printed_as_yaml_with_the_names_that_it_reads(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(name) == 0
    shown = capsys.readouterr().out
    given = presets.read(name)
    assert yaml.safe_load(shown) == yaml.safe_load(given.text)
    for variable in given.reads:
        assert variable in shown.splitlines()[1]


def test_a_file_is_printed_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("about: mine\naddress: https://HOST\n")
    assert run(str(file)) == 0
    shown = capsys.readouterr().out
    assert "reads no environment variable" in shown
    assert "base_url is yours to write, such as https://HOST" in shown


def test_what_is_none_is_told_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("strip") == 2
    assert "strip is no preset; did you mean stripe?" in capsys.readouterr().err


def test_where_a_credential_goes() -> None:
    assert slot({"type": "header", "name": "X-Key"}) == "X-Key"
    assert slot({"type": "basic"}) == "basic"
    assert slot(None) == "none"
