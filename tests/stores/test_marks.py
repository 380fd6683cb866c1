from pathlib import Path

import pytest

from proxy.stores.marks import Marks

ONE, TWO = b"1" * 32, b"2" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "marks"


def test_others_see_a_change_at_once(path: Path) -> None:
    here, there = Marks(path), Marks(path)
    before = there.mark(ONE), there.mark(TWO)
    here.changed(ONE)
    assert there.mark(ONE) != before[0]
    assert there.mark(TWO) == before[1]
    before = there.mark(ONE), there.mark(TWO)
    here.changed()
    assert there.mark(ONE) != before[0]
    assert there.mark(TWO) != before[1]
    here.close()
    there.close()


def test_drops_have_a_time(path: Path) -> None:
    marks = Marks(path)
    assert marks.dropped(ONE) == 0
    marks.drop(ONE, 12.5)
    assert (marks.dropped(ONE), marks.dropped(TWO)) == (12.5, 0)
    marks.drop(None, 20)
    marks.drop(ONE, 3)
    assert (marks.dropped(ONE), marks.dropped(TWO)) == (20, 20)
    marks.begin()
    assert (marks.dropped(ONE), marks.dropped(TWO)) == (0, 0)
    marks.close()


def test_giving_up_raises_the_floor_and_takes_back_all_copies(path: Path) -> None:
    marks = Marks(path)
    floors, mark = (marks.floor(ONE), marks.floor(TWO)), marks.mark(TWO)
    marks.give_up(ONE)
    assert marks.floor(ONE) != floors[0]
    assert marks.floor(TWO) == floors[1]
    assert marks.mark(TWO) != mark
    marks.give_up(None)
    assert marks.floor(TWO) != floors[1]
    marks.close()


def test_it_is_there_again(path: Path) -> None:
    marks = Marks(path)
    marks.give_up(ONE)
    floor = marks.floor(ONE)
    marks.close()
    again = Marks(path)
    assert again.floor(ONE) == floor
    again.close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_was_cut_is_made_whole(path: Path) -> None:
    path.write_bytes(b"cut")
    marks = Marks(path)
    marks.changed(ONE)
    marks.close()


def test_no_link_is_followed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"")
    path.symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic"):
        Marks(path)
