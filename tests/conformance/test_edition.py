"""Does the cache still pass every case of the published suite that it passed, and fail only those it must?

`outcomes.yaml` is the one place where that is written down. A case that is lost fails here, and so does
one that is won: then the file has to say so.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.conformance import edition
from tests.conformance.conftest import shared
from tests.running import Leeward

CASES = 350  # and five for the caches of browsers
PINS = Path(__file__).resolve().parent / "outcomes.yaml"


def pinned() -> tuple[set[str], dict[str, str]]:
    """The cases that pass, and those that do not, with why."""
    pins = yaml.safe_load(PINS.read_text())
    assert pins["suite"] == f"{edition.PACKAGE} {edition.VERSION}"
    failing = {case: group["why"] for group in pins["failing"] for case in group["cases"]}
    return set(pins["passing"]), failing


def test_every_pin_has_one_outcome_and_every_failure_a_reason() -> None:
    passing, failing = pinned()
    assert not passing & failing.keys()
    assert len(passing) + len(failing) == CASES
    assert all(why.strip() for why in failing.values())


def test_the_published_suite_says_what_is_pinned(tmp_path: Path) -> None:
    suite = edition.installed(tmp_path)
    with edition.origin(suite, tmp_path) as base:
        proxy = Leeward.of(shared(base), tmp_path / "leeward")
        try:
            said = edition.outcomes(suite, proxy.base)
        finally:
            status = proxy.stop()
    assert status == 0
    passing, failing = pinned()
    passed = {case for case, outcome in said.items() if outcome is True}
    told = [f"lost: {case}: {said.get(case, 'not run')}" for case in sorted(passing - passed)]
    told += [f"won, update the pin: {case}" for case in sorted(passed & failing.keys())]
    told += [f"not pinned: {case}" for case in sorted(said.keys() - passing - failing.keys())]
    told += [f"not run: {case}" for case in sorted(failing.keys() - said.keys())]
    assert not told, "\n".join(told)
