"""How does structlog come in without what it would bring along?

It imports rich, where that is installed, for tracebacks in colour. This house prints plain ones, so that
import would only be time at each start and memory for good.
"""

from __future__ import annotations

import sys

_hides = "rich" not in sys.modules
if _hides:
    # None makes an import fail at once; structlog then takes rich for not installed.
    sys.modules["rich"] = None  # type: ignore[assignment]
try:
    import structlog
finally:
    if _hides:
        del sys.modules["rich"]

__all__ = ["structlog"]
