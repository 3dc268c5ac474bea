"""A session's share of the memory for reads, with the methods that the device server calls."""

import trio

from odx_target.target.server.memory_claims import Share


class SessionReadMemory:
    """Memory for the data that the tasks of one nexus read."""

    def __init__(self, share: Share) -> None:
        self._share = share

    def take(self, size_bytes: int) -> bool:
        """Try to claim memory without waiting. If the claim would have to wait, claim no memory and return False."""
        return self._share.take(size_bytes)

    async def wait_for(self, size_bytes: int) -> None:
        """Wait until memory is available, and claim it."""
        granted = trio.Event()
        claim = self._share.wait(size_bytes, granted.set)
        try:
            await granted.wait()
        except BaseException:
            if granted.is_set():
                self._share.give_back(size_bytes)
            else:
                self._share.withdraw(claim)
            raise

    def give_back(self, size_bytes: int) -> None:
        """Release a claim of this size."""
        self._share.give_back(size_bytes)
