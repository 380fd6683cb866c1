"""What is left behind that only the garbage collection finds?

What refers to itself is not freed when its last user lets go of it. On the path of a request that costs more
than the request's own share of the collections: they look through all that is kept.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def left_behind() -> Iterator[list[str]]:
    """The names of our own classes of which something was left when the block had ended."""
    found: list[str] = []
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        kinds = {type(one) for one in gc.garbage}
        found += sorted(kind.__qualname__ for kind in kinds if kind.__module__.startswith("proxy."))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
