"""What kind of failure of a disk store is this? One word to count it by."""

from __future__ import annotations

import errno

import lmdb

_DAMAGED = (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.PanicError, lmdb.InvalidError)
# What LMDB says of a write that was cut short is EIO, and a disk that is nearly full cuts short.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}


def diagnose(error: Exception) -> str:
    """`full`, `read-only`, `busy` (no answer in time), `damaged`, or else `unreachable`."""
    number = getattr(error, "code" if isinstance(error, lmdb.Error) else "errno", None)
    if isinstance(error, TimeoutError):
        return "busy"
    if isinstance(error, _DAMAGED):
        return "damaged"
    if isinstance(error, lmdb.MapFullError) or number in _FULL:
        return "full"
    return "read-only" if number in _FORBIDDEN else "unreachable"
