"""Serves the requests of peers about tokens of this array. The table of requests has checked their rights."""

from collections.abc import Callable, Mapping

from odx_target.copymgr.commands.token_access import is_allowed
from odx_target.copymgr.commands.token_data import present_data
from odx_target.copymgr.commands.unit_token import UnitReserved, make_unit_token
from odx_target.copymgr.refusal import Refusal
from odx_target.copymgr.shared_state import Copies
from odx_target.copymgr.tokens.format import decode_block_bytes
from odx_target.copymgr.tokens.rod_token import RodToken, TokenEnd
from odx_target.environment import Environment
from odx_target.replica.blocks.compression import PathCompression
from odx_target.replica.blocks.fingerprints import fingerprint_key
from odx_target.replica.blocks.part_finder import Holes
from odx_target.replica.blocks.requests import BUSY
from odx_target.replica.blocks.sender import BlockSender
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.messages import read_message
from odx_target.replica.paths.exchange import Exchange, RequestDenied
from odx_target.replica.paths.path import Path
from odx_target.replica.paths.waker import Waker
from odx_target.replica.remote_tokens.leases import Lease, LeaseTable
from odx_target.replica.remote_tokens.limits import ANSWER_WAIT_S, MAX_LEASES, MAX_MADE_TOKENS, TOKEN_PART_BLOCKS
from odx_target.replica.remote_tokens.messages import (
    ABSENT_UNIT,
    BLOCKS_FIELDS,
    CLOSE_FIELDS,
    LEASE_ENDED,
    MAKE_FIELDS,
    OPEN_FIELDS,
    TOKEN_CODES,
    UNIT_CODES,
    texts_of,
    token_in,
)
from odx_target.replica.remote_tokens.rod_blocks import RodBlocks
from odx_target.scsi.sense import LBA_OUT_OF_RANGE
from odx_target.scsi.unit.group_gate import GroupGate
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.store.api import StoreError

STORAGE = "storage"
TOKEN_ASC = 0x23
TOKEN_UNKNOWN_ASCQ = 0x04
TOKEN_INVALID_ASCQ = 0x00

IsMapped = Callable[[str, LogicalUnit], bool]
"""True if an initiator with this name has a LUN for a logical unit of this array."""


class TokenServer:
    """Serves open-token, close-token, token-blocks and make-token.

    `is_mapped` is used for `make-token`, and if only hosts of the source may use tokens.
    """

    def __init__(
        self,
        copies: Copies,
        environment: Environment,
        is_mapped: IsMapped = lambda _name, _unit: False,
    ) -> None:
        self.leases = LeaseTable(copies, environment)
        self._copies = copies
        self._environment = environment
        self._is_mapped = is_mapped
        self._made: dict[str, list[RodToken]] = {}
        """The tokens that were made for the peer of a path and that may not have ended."""

    async def serve_open(self, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        """Serve TOKEN_OPEN: judge a token, and lease it. Raises RequestDenied, ChannelEnded and PeerFault."""
        found = read_message(OPEN_FIELDS, document)
        token = self._judged(token_in(found.texts("token")), found.text("initiator"))
        name = path.settings.name
        lease = self.leases.present(name, token) or self._new_lease(name, token)
        self.leases.find(name, lease.identifier)
        exchange.answer(
            {
                "lease": lease.identifier.hex(),
                "size_bytes": lease.rod.size_bytes or 0,
                "block_bytes": decode_block_bytes(token.data),
                "rod_type": int(token.rod_type),
            }
        )

    async def serve_make(self, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        """Make a token for blocks of a logical unit, which the peer then opens as any other. Raises RequestDenied and
        ChannelEnded.
        """
        found = read_message(MAKE_FIELDS, document)
        initiator_name, copies = found.text("initiator"), self._copies
        unit = copies.units_by_identity.get(found.content("unit"))
        if unit is None or not self._is_mapped(initiator_name, unit) or not copies.holds_blocks_of(unit):
            raise _denied_unit(ABSENT_UNIT)
        if unit.block_bytes != found.number("block_bytes"):
            raise _denied_unit("block-length")
        name, live = path.settings.name, copies.tokens.live
        made = self._made[name] = [token for token in self._made.get(name, ()) if live.get(token.identifier) is token]
        if len(made) >= MAX_MADE_TOKENS:
            raise RequestDenied(BUSY, "the peer has too many tokens of logical units")
        try:
            token = make_unit_token(copies, unit, initiator_name, found.number("offset_bytes"), found.number("size_bytes"))
        except UnitReserved as error:
            raise _denied_unit("reserved") from error
        except Refusal as refusal:
            if refusal.condition is LBA_OUT_OF_RANGE:
                raise _denied_unit("range") from None
            raise RequestDenied(BUSY, str(refusal)) from None
        except StoreError as error:
            raise RequestDenied(BUSY, str(error)) from error
        made.append(token)
        if unit.group is not None and not await self._acknowledged(unit.group):
            copies.tokens.finish(token, TokenEnd.DELETED, copies.environment.monotonic())
            raise RequestDenied(BUSY, "the group of the logical unit is not served here any more")
        exchange.answer({"token": texts_of(token.data)})

    async def _acknowledged(self, group: GroupGate) -> bool:
        """Wait until no failover can take back the data of a token that was just made, but not longer than the peer does.

        Returns False if nobody knows whether it stays. Raises RequestDenied.
        """
        pool = self._copies.pool
        try:
            await pool.committed()
        except StoreError as error:
            raise RequestDenied(STORAGE, str(error)) from error
        osn, give_up_s = pool.committed_osn, self._environment.monotonic() + ANSWER_WAIT_S
        waker = Waker(self._environment)
        group.on_progress.add(waker.wake)
        try:
            while (due_osn := group.due_osn) is not None and due_osn < osn:
                if self._environment.monotonic() >= give_up_s:
                    return False
                await waker.wait(give_up_s)
        finally:
            group.on_progress.discard(waker.wake)
        return due_osn is not None

    async def serve_close(self, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        """Serve TOKEN_CLOSE: end a lease, and delete its token if the peer says so. Raises RequestDenied and ChannelEnded."""
        found = read_message(CLOSE_FIELDS, document)
        lease = self._lease(path, found.content("lease"))
        self.leases.end(lease, delete=bool(found.number("delete")))
        try:
            await self._copies.pool.committed()
        except StoreError as error:
            raise RequestDenied(STORAGE, str(error)) from error
        exchange.answer({})

    async def serve_blocks(self, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        """Serve a request for blocks of a leased token. Raises RequestDenied, ChannelEnded and PeerFault."""
        found = read_message(BLOCKS_FIELDS, document)
        lease = self._lease(path, found.content("lease"))
        blocks = RodBlocks(lease.rod)
        first, count = found.number("first"), found.number("count")
        if first + count > blocks.size_blocks:
            raise RequestDenied("range", "the range is not inside the token")
        self.leases.begin_request(lease)
        try:
            exchange.answer({})
            key = fingerprint_key(path)
            compression = PathCompression(path)
            sender = BlockSender(exchange, blocks, key, compression, self._environment, Holes(), TOKEN_PART_BLOCKS)
            await sender.run(first, count)
        except StoreError as error:
            raise RequestDenied(STORAGE, str(error)) from error
        finally:
            self.leases.end_request(lease)

    def _judged(self, data: bytes, initiator_name: str) -> RodToken:
        """Judge a token as if an own host had sent it. Raises RequestDenied."""
        copies = self._copies
        try:
            token = copies.judge.judge(data, copies.environment.monotonic())
        except Refusal as refusal:
            raise _denied(refusal) from None
        if token is None:  # A zero token belongs to no array, so the peer would never ask about it.
            raise RequestDenied(TOKEN_CODES[TOKEN_UNKNOWN_ASCQ], "the token is not from this array")
        if not is_allowed(
            copies.options.token_access,
            copies.units_by_identity,
            token,
            initiator_name,
            lambda unit: self._is_mapped(initiator_name, unit),
        ):
            raise RequestDenied(TOKEN_CODES[TOKEN_INVALID_ASCQ], "the initiator may not use the token")
        return token

    def _new_lease(self, path_name: str, token: RodToken) -> Lease:
        if self.leases.count_of(path_name) >= MAX_LEASES:
            raise RequestDenied(BUSY, "the peer uses too many tokens")
        try:
            rod = present_data(self._copies, token)
        except Refusal as refusal:
            raise _denied(refusal) from None
        except StoreError as error:
            raise RequestDenied(BUSY, str(error)) from error
        return self.leases.add(path_name, token, rod)

    def _lease(self, path: Path, identifier: bytes) -> Lease:
        lease = self.leases.find(path.settings.name, identifier)
        if lease is None:
            raise RequestDenied(LEASE_ENDED, "the lease has ended")
        return lease


def _denied_unit(code: str) -> RequestDenied:
    return RequestDenied(code, UNIT_CODES[code])


def _denied(refusal: Refusal) -> RequestDenied:
    """Return the refusal of a token for the peer, which has the same cause as for an own host."""
    condition = refusal.condition
    code = TOKEN_CODES.get(condition.ascq) if condition.asc == TOKEN_ASC else None
    return RequestDenied(code or BUSY, condition.words)
