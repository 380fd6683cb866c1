"""`leeward run`'s own part: options to settings, errors to exit codes. Journeys run the rest."""

import pytest

from tests.running import command, free_port


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ttl", "60s"], "go with --upstream"),
        (["--token-env", "X"], "go with --upstream"),
        (["--upstream", "ftp://x"], "http://"),
        (["--upstream", "http://a", "--listen", "8080"], "127.0.0.1:8080"),
        (["--upstream", "http://a", "--workers", "some"], "1 to 64, or auto"),
        (["--config", "missing.yaml"], "missing.yaml"),
        ([], "leeward init"),
    ],
)
def test_bad_usage_exits_2_and_says_what_would_be_right(folder, arguments, said):
    ended = command("run", *arguments, cwd=folder)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert ended.stdout == ""


def test_files_for_tls_that_are_not_there_exit_1(folder):
    (folder / "leeward.yaml").write_text(
        f"server:\n  listen: 127.0.0.1:{free_port()}\n  admin: 127.0.0.1:{free_port()}\n"
        "  tls: {cert: none.pem, key: none.pem}\nupstreams:\n  up: {base_url: http://127.0.0.1:1}\n"
    )
    ended = command("run", cwd=folder)
    assert ended.returncode == 1
    assert len(ended.stderr.strip().splitlines()) == 1
    assert "none.pem" in ended.stderr


def test_each_option_says_what_it_takes(folder):
    shown = command("run", "--help", cwd=folder).stdout
    for said in ("--config FILE", "--upstream URL", "--token-env NAME", "--ttl DURATION", "--workers N"):
        assert said in " ".join(shown.split())
    assert " ".join(shown.split()).count(" ADDR ") == 2
    assert "TEXT" not in shown
