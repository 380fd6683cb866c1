import asyncio

from proxy.gateway.refresh import Refresh


async def test_a_task_runs_and_is_let_go() -> None:
    refresh = Refresh()
    ran = asyncio.Event()

    async def work() -> None:
        ran.set()

    task = refresh.start(work(), name="work")
    assert len(refresh) == 1
    await task
    await asyncio.sleep(0)
    assert ran.is_set()
    assert len(refresh) == 0


async def test_an_error_is_heard() -> None:
    heard: list[BaseException] = []
    refresh = Refresh(on_error=heard.append)

    async def work() -> None:
        raise ValueError("broken")

    task = refresh.start(work(), name="work")
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert [str(error) for error in heard] == ["broken"]


async def test_draining_waits_for_what_ends() -> None:
    refresh = Refresh()
    let = asyncio.Event()
    done: list[str] = []

    async def work() -> None:
        await let.wait()
        done.append("work")

    refresh.start(work(), name="work")
    draining = asyncio.create_task(refresh.drain(60))
    await asyncio.sleep(0)
    let.set()
    assert await draining == 0
    assert done == ["work"]
    assert refresh.closed


async def test_draining_ends_what_does_not() -> None:
    refresh = Refresh()
    tasks = [refresh.start(asyncio.Event().wait(), name="stuck") for _ in range(3)]  # type: ignore[arg-type] # its result is not looked at
    await asyncio.sleep(0)
    assert await refresh.drain(0) == 3
    assert all(task.cancelled() for task in tasks)
    assert len(refresh) == 0
