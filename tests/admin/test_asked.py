from __future__ import annotations

import subprocess
import sys

from tests.house import ROOT


def test_who_stands_behind_the_admin_port_needs_no_web_framework() -> None:
    """The proxy's own port does without, and it is a good part of a start."""
    program = "import sys, proxy.server.worker; print('aiohttp.web' in sys.modules)"
    command = [sys.executable, "-c", program]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "False\n"
