"""How does the program start with several workers?

In this order: the sockets, so that a taken port is told before anything else; what the workers share in
memory; the nursery, which has to be forked before there is a loop or a thread; the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from importlib import import_module
from typing import Any

from proxy.config.loading import Loaded
from proxy.server.commons import commons
from proxy.server.crew import StartError
from proxy.server.listening import sockets
from proxy.server.member import bear, run
from proxy.server.nursery import Nursery
from proxy.server.supervisor import NurseryLostError, Supervisor

__all__ = ["NurseryLostError", "StartError", "serve"]


def serve(
    loaded: Loaded, count: int, *, ready: Callable[[str, str], None], again: Callable[[], Loaded]
) -> None:
    """Until told to stop. Raises ListenError, StartError, NurseryLostError or OSError."""
    cache = loaded.settings.cache
    import_module("proxy.stores.disk")  # so that no worker has to
    with ExitStack() as stack:
        rows = sockets(loaded.settings.server.listen, count)
        shared = stack.enter_context(commons(cache.max_bytes))
        nursery = Nursery(bear)
        stack.callback(nursery.close)

        def order(of: Loaded) -> Mapping[str, Any]:
            return {"data": of.data, "shared": str(shared)}

        supervisor = Supervisor(loaded, nursery, rows, order=order, ready=ready, again=again)

        async def serving() -> int:
            await supervisor.run()
            return 0

        run(serving())
