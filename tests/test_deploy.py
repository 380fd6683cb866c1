"""Do the image and the compose file keep what the README says of them? No container engine is needed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.running import Leeward, free_port

ROOT = Path(__file__).resolve().parent.parent
Compose = dict[str, Any]


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, continued lines joined, comments dropped."""
    lines = [
        line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")
    ]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def final_stage() -> list[tuple[str, str]]:
    whole = instructions()
    last = max(number for number, (word, _) in enumerate(whole) if word == "FROM")
    return whole[last:]


def healthcheck() -> list[str]:
    (check,) = [rest for word, rest in final_stage() if word == "HEALTHCHECK"]
    return list(json.loads(check.partition("CMD ")[2]))


def environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for word, rest in final_stage() if word == "ENV" for pair in rest.split())


def test_the_final_image_holds_no_pip_and_no_compiler() -> None:
    stage = final_stage()
    assert [word for word, _ in instructions()].count("FROM") == 2
    assert stage[0][1].endswith("-slim")  # python's image without a compiler; its pip goes first of all
    assert [word for word, _ in stage].index("RUN") == 1
    (run,) = [rest for word, rest in stage if word == "RUN"]
    assert re.fullmatch(r"python -m pip uninstall .*pip +&& rm -r /usr/local/lib/python3\.\*/ensurepip", run)
    copied = [rest for word, rest in stage if word in {"COPY", "ADD"}]
    assert copied == ["--from=build /opt/leeward /opt/leeward"]
    assert any("pip uninstall" in rest for word, rest in instructions() if word == "RUN")


def test_the_build_takes_the_locked_versions() -> None:
    assert any("-c requirements.lock" in rest for word, rest in instructions() if word == "RUN")


def test_the_image_runs_as_a_number_that_is_nobody() -> None:
    (user,) = [rest for word, rest in final_stage() if word == "USER"]
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)


def test_the_image_writes_nothing() -> None:
    assert environment()["PYTHONDONTWRITEBYTECODE"] == "1"
    assert "VOLUME" not in {word for word, _ in final_stage()}


def test_the_image_listens_where_it_can_be_reached_and_keeps_the_admin_port_to_itself() -> None:
    assert environment()["LEEWARD_SERVER__LISTEN"] == "0.0.0.0:8080"
    assert "LEEWARD_SERVER__ADMIN" not in environment()
    assert [rest for word, rest in final_stage() if word == "EXPOSE"] == ["8080 9464"]


def test_signals_reach_the_program() -> None:
    (entry,) = [rest for word, rest in final_stage() if word == "ENTRYPOINT"]
    assert json.loads(entry) == ["leeward"]  # no shell between


def test_what_is_sent_to_the_build_is_listed() -> None:
    lines = (ROOT / ".dockerignore").read_text().split()
    assert "*" in lines
    copied = {name for word, rest in instructions() if word == "COPY" for name in rest.split()[:-1]}
    wanted = {name for name in copied if not name.startswith(("--", "/"))}
    assert wanted == {line.removeprefix("!") for line in lines if line.startswith("!")}


@pytest.mark.parametrize("place", ["environment", "mounted file", "unix socket"])
def test_the_health_check_tells_a_living_process_from_none(place: str, tmp_path: Path) -> None:
    """Run as the engine runs it: in WORKDIR, where the file is mounted, with the container's environment."""
    port = free_port()
    admin = "unix:" + str(tmp_path / "admin") if place == "unix socket" else f"127.0.0.1:{port}"
    env = {k: v for k, v in os.environ.items() if not k.startswith("LEEWARD_")} | {"PYTHONPATH": str(ROOT)}
    if place == "environment":
        env["LEEWARD_SERVER__ADMIN"] = admin

    def check() -> int:
        assert healthcheck()[0] == "leeward"
        command = [sys.executable, "-m", "proxy", *healthcheck()[1:]]
        return subprocess.run(
            command, env=env, cwd=tmp_path, capture_output=True, timeout=20, check=False
        ).returncode

    config = {"upstreams": {"api": {"base_url": "http://127.0.0.1:9", "prefix": "/"}}}
    server = {"listen": f"127.0.0.1:{free_port()}"} | ({} if place == "environment" else {"admin": admin})
    (tmp_path / "leeward.yaml").write_text(yaml.safe_dump({"server": server, **config}))
    assert check() == 1
    running = Leeward(["run"], tmp_path, env=env)
    try:
        running.expect(server["listen"], f"127.0.0.1:{port}" if place != "unix socket" else server["listen"])
        assert check() == 0
    finally:
        assert running.stop() == 0


@pytest.fixture(scope="module")
def compose() -> Compose:
    found: Compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    return found


def test_the_service_has_no_rights_that_it_does_not_need(compose: Compose) -> None:
    service = compose["services"]["leeward"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "pid"} & set(service)
    assert all("noexec" in place for place in service["tmpfs"])
    assert ("USER", service["user"]) in final_stage()


def test_the_port_is_published_on_loopback_only(compose: Compose) -> None:
    assert compose["services"]["leeward"]["ports"] == ["127.0.0.1:8080:8080"]


def test_secrets_come_as_files(compose: Compose) -> None:
    service = compose["services"]["leeward"]
    assert "environment" not in service
    assert set(service["secrets"]) == set(compose["secrets"])
    config = (ROOT / "deploy" / compose["configs"]["leeward"]["file"]).read_text()
    for name in compose["secrets"]:
        assert f"{{file: /run/secrets/{name}}}" in config


def test_a_secret_that_is_made_here_is_not_committed(compose: Compose) -> None:
    ignored = (ROOT / ".gitignore").read_text().split()
    for secret in compose["secrets"].values():
        place = re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", secret["file"])
        assert (ROOT / "deploy" / place).relative_to(ROOT).as_posix() in ignored


def test_there_is_time_to_drain(compose: Compose) -> None:
    from proxy.config.settings import ServerSettings

    grace = float(compose["services"]["leeward"]["stop_grace_period"].removesuffix("s"))
    assert grace > ServerSettings().drain_timeout
