import fcntl
import os
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest

from proxy.core.caching.key import Key
from proxy.stores import codec, folder
from proxy.stores.folder import enter
from proxy.stores.shelf import Variant
from tests.house import ROOT

ROOM = 1 << 22
KEY = Key(primary=b"p" * 32, place=b"q" * 32, upstream="api", target="/")
CARD = Variant(id=0, name=b"n" * 16, head_only=False, floor=0, head=2, body=1)


def kept(path: Path) -> int:
    """Opens the folder, and says how many entries are in it."""
    opened = enter(path, room=ROOM)
    try:
        return opened.volume.counts()[0]
    finally:
        opened.leave()


def fill(path: Path) -> None:
    opened = enter(path, room=ROOM)
    opened.volume.change({}, lambda change: change.keep(KEY, CARD, b"abc"))
    opened.leave()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "cache"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The machine's run has the name that a test gives it."""
    monkeypatch.setattr(codec, "boot", lambda: "run one")
    return monkeypatch


def test_what_was_kept_is_there_again(path: Path) -> None:
    fill(path)
    assert kept(path) == 1


@pytest.mark.parametrize(
    ("state", "now", "left"),
    [
        ("open run one", "run one", 1),  # a process died, the system did not
        ("clean", "run one", 1),
        ("clean", "run two", 1),
        ("clean", "", 1),
        ("open run one", "run two", 0),  # a power cut, as far as anybody knows
        ("open ", "", 0),
        ("damaged", "run one", 0),
        ("", "run one", 0),
        ("open run o", "run one", 0),
    ],
)
def test_what_nobody_vouches_for_is_emptied(
    path: Path, run: pytest.MonkeyPatch, state: str, now: str, left: int
) -> None:
    fill(path)
    assert (path / folder._STATE).read_text() == "clean"
    (path / folder._STATE).write_text(state)
    run.setattr(codec, "boot", lambda: now)
    assert kept(path) == left
    assert (path / folder._STATE).read_text() == "clean"


def test_another_version_vouches_for_its_own_files_only(path: Path, run: pytest.MonkeyPatch) -> None:
    fill(path)
    opened = enter(path, room=ROOM)
    folder._open.clear()  # the power goes
    opened.environment.close()
    opened.volume.marks.close()
    os.close(opened.lock)
    run.setattr(codec, "boot", lambda: "run two")
    names = {name: getattr(folder, name) for name in ("_DATA", "_MARKS", "_LOCK", "_STATE")}
    with pytest.MonkeyPatch.context() as other:
        for name, own in names.items():
            other.setattr(folder, name, f"{own}-of-another-version")
        fill(path)
        assert kept(path) == 1
    assert kept(path) == 0


def test_while_it_is_open_it_is_not_clean(path: Path, run: pytest.MonkeyPatch) -> None:
    fill(path)
    opened = enter(path, room=ROOM)
    assert (path / folder._STATE).read_text() == "open run one"
    opened.distrust()
    opened.leave()
    assert (path / folder._STATE).read_text() == "damaged"
    assert kept(path) == 0


def test_a_file_that_is_none_of_ours_is_replaced(path: Path) -> None:
    fill(path)
    for file in path.glob("cache-*"):
        file.write_bytes(b"something else " * 1000)
    assert kept(path) == 0
    fill(path)
    assert kept(path) == 1


def test_in_one_process_it_is_opened_once(path: Path) -> None:
    one, two = enter(path, room=ROOM), enter(path.parent / "." / path.name, room=ROOM * 2)
    assert one is two
    assert one.volume.room == ROOM * 2
    one.leave()
    assert two.volume.counts() == (0, 0)
    two.leave()
    with pytest.raises(lmdb.Error):
        two.volume.counts()


def test_the_salt_is_one_and_private(path: Path) -> None:
    opened = enter(path, room=ROOM)
    salt = opened.salt
    opened.leave()
    assert len(salt) == 32
    assert path.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o077 for file in path.iterdir()} == {0}
    again = enter(path, room=ROOM)
    again.leave()
    assert again.salt == salt


@pytest.mark.parametrize("harm", ["cut", "shown", "gone"])
def test_a_salt_that_is_none_is_replaced(path: Path, harm: str) -> None:
    opened = enter(path, room=ROOM)
    opened.leave()
    file = path / "salt"
    if harm == "cut":
        file.write_bytes(opened.salt[:16])
    elif harm == "shown":
        file.chmod(0o644)
    else:
        file.unlink()
    again = enter(path, room=ROOM)
    again.leave()
    assert again.salt != opened.salt
    assert file.read_bytes() == again.salt
    assert file.stat().st_mode & 0o777 == 0o600


_HOLDER = """
import sys, pathlib
from proxy.stores.folder import enter
opened = enter(pathlib.Path(sys.argv[1]), room=1 << 22)
print(opened.salt.hex(), flush=True)
sys.stdin.read()
opened.leave()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _HOLDER, str(path)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_several_processes_have_one_salt_and_the_last_to_leave_says_so(
    path: Path, run: pytest.MonkeyPatch
) -> None:
    run.undo()
    others = [holder(path) for _ in range(3)]
    salts = {other.stdout.readline().strip() for other in others if other.stdout is not None}
    opened = enter(path, room=ROOM)
    assert salts == {opened.salt.hex()}
    opened.leave()
    assert (path / folder._STATE).read_text().startswith("open ")
    others[0].kill()
    for other in others:
        other.communicate("", timeout=10)
    assert (path / folder._STATE).read_text() == "clean"


def test_who_does_not_let_go_is_not_waited_for_long(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "_PATIENCE", 0.05)
    assert kept(path) == 0
    lock = os.open(path / folder._LOCK, os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with pytest.raises(TimeoutError, match="does not let go"):
        enter(path, room=ROOM)
    os.close(lock)
    assert kept(path) == 0
