"""A nursery for background jobs. The jobs end before the objects that they use are closed."""

import trio


class JobNursery:
    """A nursery for background jobs.

    Start `run` in another nursery. Await `stop` before the objects that the jobs use are closed.
    """

    def __init__(self) -> None:
        self.nursery: trio.Nursery
        self._ended = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Accept jobs until `stop` is called."""
        try:
            async with trio.open_nursery() as self.nursery:
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """Cancel the jobs, and wait until they have released their resources."""
        self.nursery.cancel_scope.cancel()
        await self._ended.wait()
