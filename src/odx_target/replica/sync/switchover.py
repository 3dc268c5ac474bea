"""The switchover of a group: the other member becomes the primary, without a moment at which hosts get an error from both."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from odx_target.environment import Environment
from odx_target.replica.link.errors import LinkError
from odx_target.replica.membership.messages import Action
from odx_target.replica.membership.register import Change
from odx_target.replica.sync.limits import MAX_HAND_OVER_S
from odx_target.replica.sync.member_driver import MemberDriver
from odx_target.replica.sync.progress import Progress
from odx_target.replica.sync.stream.outgoing_stream import OutgoingStream
from odx_target.replica.sync.stream.stream_sender import StreamSender
from odx_target.store.api import Pool


class Switchover:
    """Hands over as soon as `is_idle` returns True, so that no command is under way, and the other member has everything."""

    def __init__(
        self,
        pool: Pool,
        environment: Environment,
        driver: MemberDriver,
        outgoing: OutgoingStream,
        progress: Progress,
        is_idle: Callable[[], bool],
    ) -> None:
        self.is_under_way = False
        """True while commands end. The member accepts no further ones meanwhile."""
        self._pool = pool
        self._environment = environment
        self._driver = driver
        self._outgoing = outgoing
        self._progress = progress
        self._is_idle = is_idle
        self._flush_asked: tuple[StreamSender, int] | None = None
        self._flushed: tuple[StreamSender, int] | None = None
        """The stream and the OSN up to which the other member has flushed it."""

    async def run(self) -> None:
        """Hand over, in MAX_HAND_OVER_S at most. Raises NotServing."""
        give_up_s = self._environment.monotonic() + MAX_HAND_OVER_S
        self.is_under_way = True
        self._progress.wake()
        self.tick()
        try:
            while self._driver.member.is_primary:
                await self._progress.next_change(give_up_s)
        finally:
            self.is_under_way = False
            self._progress.wake()

    def tick(self) -> None:
        """Hand over if that is due now."""
        if self.is_under_way:
            self._driver.post(self._hand_over)

    def shipped(self) -> None:
        """Hand over as soon as the other member has everything."""
        if self.is_under_way and self._driver.member.request is None and self._is_drained():
            self._driver.post(self._hand_over)

    def _hand_over(self, now_s: float) -> Sequence[Action]:
        sender = self._outgoing.sender
        if sender is None or not self.is_under_way or not self._is_drained() or not self._is_flushed(sender):
            return ()
        actions = self._driver.member.change(Change.HAND_OVER, now_s)
        if actions:
            self._driver.handed_over_osn = sender.shipped_osn
            self._outgoing.close()  # The other member must get nothing after this position.
        return actions

    def _is_flushed(self, sender: StreamSender) -> bool:
        """True if the other member keeps through a loss of power what it has. Otherwise, it is asked to flush.

        A new primary that has lost the end of the stream, and a former one that has started again, could not be compared.
        """
        wanted = (sender, sender.shipped_osn)
        if self._flush_asked != wanted:
            self._flush_asked = wanted

            def flushed() -> None:
                self._flushed = wanted
                self._driver.post(self._hand_over)

            with suppress(LinkError):
                self._outgoing.flush_peer(flushed)
        return self._flushed == wanted

    def _is_drained(self) -> bool:
        """True if no command is under way, and the other member has everything."""
        sender, member = self._outgoing.sender, self._driver.member
        has_all = sender is not None and sender.is_complete and sender.peer_osn >= self._pool.committed_osn - 1
        return self._is_idle() and has_all and member.peer in member.register.in_sync
