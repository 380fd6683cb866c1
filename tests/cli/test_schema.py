from __future__ import annotations

import json

import jsonschema
import pytest

from proxy.cli import main
from proxy.config import loading


def test_it_prints_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["schema"])
    assert left.value.code == 0
    printed = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(printed)
    assert printed == loading.schema()
