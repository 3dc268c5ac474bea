"""The data of a token of another array, for one command. It is a `RodSource` whose bytes arrive over the link."""

from odx_target.copymgr.refusal import Refusal
from odx_target.copymgr.shared_state import Copies
from odx_target.copymgr.tokens.remote import RemoteRequest
from odx_target.copymgr.tokens.rod_source import Piece, PieceKind, SourceCut, SourceUnreadable
from odx_target.environment import Buffer
from odx_target.replica.paths.exchange import NO_RIGHT, UNKNOWN_REQUEST, RequestDenied
from odx_target.replica.remote_tokens.limits import BACKGROUND_WAIT_S, GATHERED_BLOCKS
from odx_target.replica.remote_tokens.messages import CONDITIONS, LEASE_ENDED
from odx_target.replica.remote_tokens.remote_token import PathDown, RemoteToken
from odx_target.replica.remote_tokens.staging import StagedData
from odx_target.scsi.buffers import read_bytes, read_bytes_now
from odx_target.scsi.sense import REMOTE_TOKEN_USAGE_NOT_SUPPORTED, TOKEN_UNKNOWN
from odx_target.store.api import BLOCK_BYTES, DamagedBlock, FrozenMap, PoolBusy, Unreadable


class RemoteRod:
    """The data of `token`. The command waits for data as `request` allows, in the time of the link. Call `release` at its end.

    A piece is as long as the staged blocks. If nothing is staged at an offset, `piece_at` raises PoolBusy, and `map_loaded`
    waits for the data. While more data is coming, it waits for `GATHERED_BLOCKS`, because each piece costs the command a change
    of two maps and a commit. A block that the maker cannot read is a piece that can only be read, and its read fails.
    """

    is_remote = True

    def __init__(self, token: RemoteToken, staged: StagedData, request: RemoteRequest, copies: Copies) -> None:
        self.size_bytes: int | None = staged.size_bytes
        self._token = token
        self._staged = staged
        self._copies = copies
        self._until_s = request.data_until_s
        end_bytes = min(staged.size_bytes, request.offset_bytes + request.size_bytes)
        self._end_block = -(-end_bytes // BLOCK_BYTES)
        self._needed: int | None = None
        self._has_piece = False
        """True if blocks before the needed one have arrived."""
        self._awaited = -1
        self._awaited_since_s = 0.0
        self._frozen: FrozenMap | None = None
        self._frozen_version = -1
        self._needs_room = False
        self._gathers = True
        """True until the command has waited for data that did not arrive."""

    def piece_at(self, offset_bytes: int) -> Piece:
        staged, block = self._staged, offset_bytes // BLOCK_BYTES
        end = staged.end_of_arrived(block)
        if end == block or (
            self._gathers and end < min(block + GATHERED_BLOCKS, self._end_block) and not staged.is_lost(block)
        ):
            self._needed = end
            self._has_piece = end > block
            raise PoolBusy
        self._needed = None
        left_bytes = staged.size_bytes - offset_bytes
        if staged.is_lost(block):
            return Piece(PieceKind.BYTES, min(left_bytes, BLOCK_BYTES - offset_bytes % BLOCK_BYTES))
        size_bytes = staged.end_of_readable(block) * BLOCK_BYTES - offset_bytes
        return Piece(PieceKind.MAPPED, min(left_bytes, size_bytes), self._present(), offset_bytes)

    def read_now(self, offset_bytes: int, size_bytes: int) -> list[Buffer] | None:
        block, end = self._blocks_of(offset_bytes, size_bytes)
        self._check_lost(offset_bytes, block, end)
        if self._staged.end_of_arrived(block) < end:
            return None
        try:
            return read_bytes_now(self._present(), offset_bytes, size_bytes)
        except PoolBusy:
            return None
        except (DamagedBlock, Unreadable) as error:
            raise _unreadable(error, offset_bytes) from error

    async def read(self, offset_bytes: int, size_bytes: int) -> list[Buffer]:
        block, end = self._blocks_of(offset_bytes, size_bytes)
        at = block
        while (at := self._staged.end_of_arrived(at)) < end:
            await self._wait_for(at)
        self._check_lost(offset_bytes, block, end)
        while True:
            try:
                return await read_bytes(self._present(), offset_bytes, size_bytes)
            except PoolBusy:
                await self._staged.room_made()
            except (DamagedBlock, Unreadable) as error:
                raise _unreadable(error, offset_bytes) from error

    async def map_loaded(self) -> None:
        """Wait for a short time for the block that the last call of `piece_at` needed. Raises SourceCut."""
        if self._needed is not None:
            try:
                await self._wait_for(self._needed)
            except SourceCut:
                if not self._has_piece:
                    raise
                self._gathers = False
        elif self._needs_room or self._frozen is None:
            await self._staged.room_made()
        else:
            await self._frozen.map_loaded()

    def release(self) -> None:
        frozen, self._frozen = self._frozen, None
        if frozen is not None:
            frozen.release()

    async def _wait_for(self, block: int) -> None:
        """Wait for a block for a short time. Raises SourceCut if the command waits no longer for it."""
        until_s = self._until_s
        if until_s is None:
            if block != self._awaited:
                self._awaited, self._awaited_since_s = block, self._token.now_s()
            until_s = self._awaited_since_s + BACKGROUND_WAIT_S
        try:
            await self._token.wait_for(block, self._end_block, until_s)
        except PathDown as error:
            raise SourceCut(str(error), self._copies.unreachable(str(error))) from error
        except RequestDenied as denied:
            raise SourceCut(str(denied), refusal_of(self._copies, denied)) from denied

    def _present(self) -> FrozenMap:
        """Return a frozen map with all staged blocks. It stays until the next call. May raise PoolBusy."""
        if self._frozen is None or self._frozen_version != self._staged.version:
            self._needs_room = True
            frozen = self._staged.freeze()
            self._needs_room = False
            self.release()
            self._frozen, self._frozen_version = frozen, self._staged.version
        return self._frozen

    def _check_lost(self, offset_bytes: int, block: int, end: int) -> None:
        """Raise SourceUnreadable if the maker cannot read one of the blocks that have arrived."""
        lost = self._staged.end_of_readable(block)
        if lost < min(end, self._staged.end_of_arrived(block)):
            raise _unreadable(DamagedBlock(lost), offset_bytes)

    def _blocks_of(self, offset_bytes: int, size_bytes: int) -> tuple[int, int]:
        return offset_bytes // BLOCK_BYTES, -(-(offset_bytes + size_bytes) // BLOCK_BYTES)


def refusal_of(copies: Copies, denied: RequestDenied) -> Refusal:
    """Return the refusal of a command whose token the maker refuses."""
    condition = _CONDITIONS.get(denied.code)
    rule = f"the array that made the token refuses it: {denied}"
    if condition is None:
        return copies.unreachable(rule)
    refusal = copies.judge.refusal(condition)
    refusal.rule = rule
    return refusal


_CONDITIONS = {
    **CONDITIONS,
    NO_RIGHT: REMOTE_TOKEN_USAGE_NOT_SUPPORTED,
    UNKNOWN_REQUEST: REMOTE_TOKEN_USAGE_NOT_SUPPORTED,
    LEASE_ENDED: TOKEN_UNKNOWN,
}
"""The condition for each code of a refusal. Any other code means that the maker cannot serve the request now."""


def _unreadable(error: DamagedBlock | Unreadable, offset_bytes: int) -> SourceUnreadable:
    return SourceUnreadable(max(0, error.block * BLOCK_BYTES - offset_bytes), error)
