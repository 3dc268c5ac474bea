"""The output of a connection. The changes of commands are committed, and after that all responses are sent in one call."""

from collections.abc import Callable

from odx_target.environment import Buffer
from odx_target.iscsi.session.session_memory import Share
from odx_target.store.api import Pool, Scarcity
from odx_target.store.error_kinds import passes
from odx_target.target.server.send_queue import SendQueue

EARLY_SEND_BYTES = 1 << 18
"""Amount of read data that causes an early send: the data is sent before the next command of a batch is executed.

The initiator gets the data sooner, and the data is still in the cache of the processor.
"""


class ResponseSender:
    """Commits the store's open batch and sends the output of the protocol.

    `take_output` may be replaced while the sender is in use. The sender keeps the claimed memory of large reads until their
    data has been sent.
    """

    def __init__(self, pool: Pool, queue: SendQueue, take_output: Callable[[], list[Buffer]]) -> None:
        self.pool = pool
        self.queue = queue
        self.take_output = take_output
        self._held: list[tuple[Share, int]] = []
        self.on_commit: Callable[[int], None] | None = None
        """Function that is called after each commit and before output is taken, with the OSN that the pool has committed. None
        while no reply waits for another array.
        """

    @property
    def unsent_bytes(self) -> int:
        """Number of bytes in the queue that the socket has not accepted yet."""
        return self.queue.unsent_bytes

    def hold(self, share: Share, size_bytes: int) -> None:
        """Keep claimed memory until the queue is empty."""
        self._held.append((share, size_bytes))

    def send_early(self, size_bytes: int) -> bool:
        """Send the present output without waiting. `size_bytes` is the number of bytes of small reads in this output.

        Returns False if too much output is still unsent, or if the batch cannot be committed yet. Raises OSError, PoolFailed.
        """
        if not self._commit():
            return False
        self.queue.count_small_reads(size_bytes)
        if self.queue.send_now(self.take_output()):
            self._all_sent()
        return self.queue.takes_more

    def has_sent_part(self, sent_bytes: int, size_bytes: int, error: OSError | None) -> None:
        """Keep the present output after its first `sent_bytes` bytes, because the native module has sent only these.
        `size_bytes` is that of `send_early`, and `error` is the reason for which the socket has accepted nothing. Raises it
        unless it passes.
        """
        if error is not None and not passes(error):
            raise error
        self.queue.count_small_reads(size_bytes)
        self.queue.keep_rest(self.take_output(), sent_bytes)

    def send_now(self) -> bool:
        """Send all output without waiting, and return True.

        If this is not possible, return False, and the caller must await `send`. Raises OSError, PoolFailed.
        """
        if not self._commit():
            return False
        if not self.queue.send_now(self.take_output()):
            return False
        self._all_sent()
        return True

    async def send(self) -> None:
        """Commit the open batch, and send all output. Wait while the socket accepts no bytes. Raises OSError, PoolFailed."""
        while not self._commit():  # No response may be sent before the commit.
            await self.pool.committed()
        if not self.queue.send_now(self.take_output()):
            await self.queue.drain()
        self._all_sent()

    def _commit(self) -> bool:
        """Commit the open batch. Returns False if this is not possible now. Raises PoolFailed."""
        try:
            osn = self.pool.commit()
        except Scarcity:
            return False
        if self.on_commit is not None:
            self.on_commit(osn)
        return True

    def close(self) -> None:
        """Discard all unsent output. Nothing is sent after this call."""
        self.queue.close()
        self._all_sent()

    def _all_sent(self) -> None:
        if self._held:
            held, self._held = self._held, []
            for share, size_bytes in held:
                share.give_back(size_bytes)
