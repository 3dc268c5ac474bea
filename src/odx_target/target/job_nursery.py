"""Background jobs that end before others do."""

import trio


class JobNursery:
    """A nursery for jobs that must have ended before what they use is closed. Start `run` in the nursery around it."""

    def __init__(self) -> None:
        self.nursery: trio.Nursery
        self._ended = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Be open until `stop`."""
        try:
            async with trio.open_nursery() as self.nursery:
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """Cancel the jobs and wait until they have given back what they hold."""
        self.nursery.cancel_scope.cancel()
        await self._ended.wait()
