"""What only some credentials need is not part of everybody's start."""

import subprocess
import sys

import pytest

# Each costs milliseconds that a proxy with a plain token would wait for in vain.
HEAVY = ["proxy.elaborate", "proxy.auth.sigv4", "proxy.auth.oauth2", "jwt", "cryptography", "botocore"]


@pytest.mark.parametrize("module", ["proxy.wiring"])
def test_a_start_without_them_does_not_import_them(module: str) -> None:
    code = f"import sys, {module}\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.stdout.strip(), ended.stderr) == ("", "")
