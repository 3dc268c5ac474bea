"""The output of a connection: commits what has been done, then sends all responses in one call."""

from collections.abc import Callable, Sequence

from odx_target.environment import Buffer
from odx_target.iscsi.session.session_memory import Share
from odx_target.store.api import Pool, Scarcity
from odx_target.target.server.send_queue import SendQueue

MAX_UNSENT_BYTES = 512 << 10
"""Read data of small commands that a peer has not taken; beyond it the rest of its commands wait. The kernel holds some MiB
more by then. Large reads take memory of their own."""


class ResponseSender:
    """Commits the store's open batch and sends the output of the protocol.

    Memory of reads whose data a peer has not taken is kept with it, and given back once all has left.
    """

    def __init__(self, pool: Pool, queue: SendQueue, take_output: Callable[[], Sequence[Buffer]]) -> None:
        self._pool = pool
        self._queue = queue
        self._take_output = take_output
        self._small_bytes = 0  # small reads since nothing was left to send
        self._held: list[tuple[Share, int]] = []

    @property
    def unsent_bytes(self) -> int:
        """The bytes that the peer has not taken yet."""
        return self._queue.unsent_bytes

    def hold(self, share: Share, size_bytes: int) -> None:
        """Keep memory for as long as anything is left to send."""
        self._held.append((share, size_bytes))

    def send_early(self, size_bytes: int) -> bool:
        """Send what there is by now, `size_bytes` of it for small reads.

        False if it has become too much for the peer, or cannot be committed yet. Raises OSError, PoolFailed.
        """
        try:
            self._pool.commit()
        except Scarcity:
            return False
        self._small_bytes += size_bytes
        if self._queue.send_now(self._take_output()):
            self._all_sent()
        return self._small_bytes <= MAX_UNSENT_BYTES

    def send_now(self) -> bool:
        """Send everything, if that needs no waiting; else await `send`. Raises OSError, PoolFailed."""
        try:
            self._pool.commit()
        except Scarcity:
            return False
        if not self._queue.send_now(self._take_output()):
            return False
        self._all_sent()
        return True

    async def send(self) -> None:
        """Send everything, waiting for the peer to take it. Raises OSError, PoolFailed."""
        try:
            self._pool.commit()
        except Scarcity:  # until it is done nothing may be answered
            await self._pool.committed()
        if not self._queue.send_now(self._take_output()):
            await self._queue.drain()
        self._all_sent()

    def close(self) -> None:
        """Forget what is not sent; nothing more will be."""
        self._queue.close()
        self._all_sent()

    def _all_sent(self) -> None:
        self._small_bytes = 0
        if self._held:
            held, self._held = self._held, []
            for share, size_bytes in held:
                share.give_back(size_bytes)
