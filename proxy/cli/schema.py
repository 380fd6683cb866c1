"""What may stand in the configuration, for editors? `leeward schema`."""

from __future__ import annotations

import json

from proxy.config import loading


def schema() -> int:
    """Print the configuration's JSON Schema.

    Example: leeward schema > leeward.schema.json
    """
    print(json.dumps(loading.schema(), indent=2))
    return 0
