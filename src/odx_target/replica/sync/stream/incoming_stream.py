"""The stream of the primary at the other member: checks that it may take it, and receives it."""

from collections.abc import Mapping, Sequence

from odx_target.copymgr.tokens.adopted import AdoptedTokens
from odx_target.environment import Environment
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.errors import ChannelEnded, PeerFault
from odx_target.replica.link.kinds import Kind
from odx_target.replica.membership.messages import RegisterNews
from odx_target.replica.membership.register import Register
from odx_target.replica.paths.exchange import Exchange, RequestDenied
from odx_target.replica.snapshots.protection import KEPT_ATTRIBUTE
from odx_target.replica.sync.anchors.anchors import GUID_BYTES, Anchors
from odx_target.replica.sync.anchors.changed_blocks import send_changes
from odx_target.replica.sync.group_records import GroupRecords
from odx_target.replica.sync.group_volumes import GroupVolumes
from odx_target.replica.sync.member_driver import MemberDriver
from odx_target.replica.sync.positions import NO_POSITION, StreamPosition, reached
from odx_target.replica.sync.stream.outgoing_stream import FAILED
from odx_target.replica.sync.stream.preparation import Preparation
from odx_target.replica.sync.stream.relog import NotApplied, Relog
from odx_target.replica.sync.stream.shipped_volumes import ShippedVolumes
from odx_target.replica.sync.stream.snapshot_chain import newest_snapshots
from odx_target.replica.sync.stream.stream_messages import Greeting, greeting_document, read_greeting
from odx_target.replica.sync.stream.stream_receiver import StreamReceiver
from odx_target.store.api import DamagedBlock, Pool, StoreError, Volume

NOT_YET = "not-yet"
"""Code of the refusal of a stream that the primary must offer again soon."""


class IncomingStream:
    """Receives at most one stream. A newer one ends the former one."""

    def __init__(
        self,
        pool: Pool,
        environment: Environment,
        records: GroupRecords,
        driver: MemberDriver,
        anchors: Anchors,
        volumes: GroupVolumes,
        tokens: AdoptedTokens,
    ) -> None:
        self._tokens = tokens
        self.preparation = Preparation(pool, records, volumes)
        self._pool = pool
        self._environment = environment
        self._records = records
        self._driver = driver
        self._anchors = anchors
        self._volumes = volumes
        self._exchange: Exchange | None = None
        self.is_refusing = False
        """True while a person promotes this member, and when the array stops."""

    def close(self) -> None:
        """End the present stream, because the register has changed. No change of it is made any more."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.abandon()

    def say_goodbye(self) -> None:
        """Take no stream any more, because this array stops, and tell the primary, which then does not wait for this member."""
        self.is_refusing = True
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.revoke(RequestDenied(FAILED, "the other member is being stopped"))

    async def serve(self, exchange: Exchange, document: Mapping[str, Json]) -> None:
        """Take a stream of the other member. Raises LinkError."""
        driver, member = self._driver, self._driver.member
        theirs = read_greeting(document)
        register = member.register
        identities = self._volumes.identities
        snapshots = newest_snapshots(self._volumes.remaining())
        own = Greeting(register, driver.position, member.is_proven, tuple(self._anchors.guids), identities, snapshots)
        driver.deliver(RegisterNews(theirs.register))
        if driver.is_settling or self.is_refusing:
            raise RequestDenied(NOT_YET, "this member does not know yet how far its stream reaches")
        if theirs.register != register or member.is_primary:
            exchange.answer(greeting_document(own))
            return
        is_resync = not member.is_in_sync
        if not is_resync:
            found = reached(driver.position, theirs.position)
            if found is not None:
                member.compared(found[1], theirs.position.osn)
        self.close()
        self._exchange = exchange
        exchange.answer(greeting_document(own))
        volumes = self._present_volumes()
        relog = Relog(
            self._pool,
            self._environment,
            volumes,
            lambda: self._is_wanted(exchange, register),
            self._anchors,
            ShippedVolumes(self._pool, self._records, self._volumes),
            self._tokens,
        )
        try:
            await relog.tried(self.preparation.undo, volumes[0].room_made)
            await self._receive(exchange, relog, volumes, theirs.position, is_resync=is_resync)
        except NotApplied as error:
            if self._exchange is exchange:
                raise RequestDenied(FAILED, str(error)) from error
        finally:
            if self._exchange is exchange:
                self._exchange = None
            relog.close()

    def _present_volumes(self) -> list[Volume]:
        """Return the volumes. Raises RequestDenied if one of them was deleted."""
        try:
            return self._volumes.present()
        except StoreError as error:
            raise RequestDenied(FAILED, str(error)) from error

    def _is_wanted(self, exchange: Exchange, register: Register) -> bool:
        """True if the changes of a stream may be made and acknowledged (rules 3 and 8 of `Member`)."""
        member = self._driver.member
        return (
            self._exchange is exchange and (member.register is register or member.register == register) and member.takes_changes
        )

    async def _receive(
        self, exchange: Exchange, relog: Relog, volumes: Sequence[Volume], primary: StreamPosition, *, is_resync: bool
    ) -> None:
        driver, member = self._driver, self._driver.member
        if is_resync:
            anchor = await self._received_resync(exchange)
            member.fell_behind()
            await relog.tried(self._keep_changes_aside, volumes[0].room_made)
            await relog.tried(self._forget_position, volumes[0].room_made)
            await self._answer_resync(exchange, anchor, volumes)
        found = reached(driver.position, primary)
        start = StreamPosition(primary.log, *(found or (0, 0)))

        def complete(osn: int) -> None:
            if is_resync:
                member.caught_up()
            else:
                member.compared(osn, osn)

        receiver = StreamReceiver(
            self._pool,
            self._environment,
            self._records,
            exchange,
            relog,
            self.preparation,
            volumes,
            start,
            self._keep,
            complete,
            is_resync=is_resync,
        )
        await receiver.run()

    async def _received_resync(self, exchange: Exchange) -> bytes:
        """Wait for RESYNC, and return the guid of its anchor, or nothing. Raises LinkError.

        Before it, this member keeps its position: a primary that has just started offers a stream although it may have added
        this member in its life before, and then it sends no RESYNC.
        """
        frame = await exchange.receive()
        if frame is None:
            raise ChannelEnded("the primary has ended the stream")
        exchange.consumed(frame)
        if frame.kind is not Kind.RESYNC:
            raise PeerFault("a stream to a member that is out of sync does not begin with RESYNC")
        return bytes(frame.body)

    async def _answer_resync(self, exchange: Exchange, anchor: bytes, volumes: Sequence[Volume]) -> None:
        """Send the ranges that this member has changed since its anchor. Raises LinkError."""
        if not anchor:
            return
        maps = self._anchors.maps(anchor)
        if maps is None or len(maps) > len(volumes):
            raise PeerFault("a RESYNC names an anchor that this member does not have")
        try:
            await send_changes(exchange, self._pool, self._environment, maps, volumes)
        except DamagedBlock as error:
            raise NotApplied(str(error)) from error

    def _keep_changes_aside(self) -> None:
        """Take snapshots before a resync replaces the changes of a primary that lost its place by force."""
        moment = self._records.divergence
        if moment is None:
            return
        volumes = self._volumes.present()
        name = f"diverged-{moment}"
        if any(name in volume.snapshots for volume in volumes):
            name += f"~{self._environment.entropy(GUID_BYTES).hex()}"
        self._pool.snapshot_volumes({volume.name: {KEPT_ATTRIBUTE: "diverged"} for volume in volumes}, name)
        self._records.keep_divergence(None)

    def _forget_position(self) -> None:
        self._records.keep_position(NO_POSITION)
        self._keep(NO_POSITION)

    def _keep(self, position: StreamPosition) -> None:
        self._driver.position = position
