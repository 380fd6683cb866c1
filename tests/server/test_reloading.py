import logging
from typing import Any

import pytest

from proxy.config.certificates import CertificateError
from proxy.config.loading import Loaded, load
from proxy.config.problems import ConfigError, Problem
from proxy.server.reloading import RefusedError, Reloading


def loaded(**server: Any) -> Loaded:
    return load(None, {"server": server, "upstreams": {"a": {"base_url": "http://127.0.0.1:1"}}}, {})


class Reloads:
    """A reload of something that a test answers for."""

    def __init__(self, *found: Loaded | Exception) -> None:
        self.found = list(found)
        self.changed: list[Loaded] = []
        self.outcomes: list[str] = []
        self.refusal: Exception | None = None
        self.reloading = Reloading(loaded(), again=self.again, change=self.change, count=self.outcomes.append)

    def again(self) -> Loaded:
        found = self.found.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def change(self, to: Loaded) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.changed.append(to)

    async def reload(self) -> list[str]:
        return await self.reloading.reload()


async def test_what_is_right_is_put_in_force():
    new = loaded(drain_timeout="1s")
    reloads = Reloads(new)
    assert await reloads.reload() == []
    assert reloads.changed == [new]
    assert reloads.outcomes == ["success"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (
            ConfigError(
                [
                    Problem(file="f", line=3, key="a", message="b"),
                    Problem(file="f", line=0, key="", message="c"),
                ]
            ),
            ["f:3: a: b", "f: c"],
        ),
        (PermissionError(13, "Permission denied"), ["The configuration cannot be read: Permission denied"]),
    ],
)
async def test_what_is_wrong_changes_nothing_and_is_told(
    wrong: Exception, told: list[str], caplog: pytest.LogCaptureFixture
):
    reloads = Reloads(wrong, loaded())
    with caplog.at_level(logging.ERROR, "leeward"):
        assert await reloads.reload() == told
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == told
    assert reloads.changed == []
    assert await reloads.reload() == []
    assert reloads.outcomes == ["failure", "success"]


async def test_what_needs_a_restart_names_its_place():
    reloads = Reloads(
        load(
            None,
            {"upstreams": {"a": {"base_url": "http://127.0.0.1:1"}}},
            {"LEEWARD_SERVER__LISTEN": "127.0.0.1:2"},
        )
    )
    [problem] = await reloads.reload()
    assert problem.startswith("LEEWARD_SERVER__LISTEN: server.listen: this cannot change while it runs")
    assert (reloads.changed, reloads.outcomes) == ([], ["failure"])


@pytest.mark.parametrize("refusal", [CertificateError("no cert"), RefusedError("no worker")])
async def test_what_cannot_be_put_in_force_is_compared_with_what_still_is(refusal: Exception):
    reloads = Reloads(loaded(drain_timeout="1s"), loaded())
    reloads.refusal = refusal
    assert await reloads.reload() == [str(refusal)]
    reloads.refusal = None
    assert await reloads.reload() == []
