import errno

import lmdb
import pytest

from proxy.stores.diagnosis import diagnose


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (OSError(errno.ENOSPC, "no"), "full"),
        (OSError(errno.EDQUOT, "no"), "full"),
        (OSError(errno.EROFS, "no"), "read-only"),
        (PermissionError(errno.EACCES, "no"), "read-only"),
        (NotADirectoryError(errno.ENOTDIR, "no"), "unreachable"),
        (TimeoutError(), "busy"),
        (lmdb.MapFullError("put"), "full"),
        (lmdb.CorruptedError("get"), "damaged"),
        (lmdb.PanicError("get"), "damaged"),
        (RuntimeError("cannot schedule new futures after shutdown"), "unreachable"),
    ],
    ids=repr,
)
def test_each_has_a_word(error: Exception, word: str) -> None:
    assert diagnose(error) == word
