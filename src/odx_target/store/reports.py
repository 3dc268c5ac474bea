"""Reports on the room and the log of a pool."""

from odx_target.store.api import BLOCK_BYTES
from odx_target.store.log.flusher import Flusher
from odx_target.store.log.reader import Reader
from odx_target.store.log.writer import Log
from odx_target.store.segments.supply import SegmentSupply
from odx_target.store.status import LogStatus, Usage


def usage_of(log: Log, supply: SegmentSupply, gain_blocks: int) -> Usage:
    """Return the used and the available bytes of a pool. The reserve is counted in neither number, because records with data
    must leave the reserve free. `gain_blocks` is the number of used blocks that cleaning can free.
    """
    used_blocks = supply.used_bytes // BLOCK_BYTES - log.unused_blocks - supply.free_blocks
    gain_bytes = min(gain_blocks, used_blocks) * BLOCK_BYTES
    makeable_blocks = supply.available_blocks()
    if makeable_blocks is None:
        return Usage(used_blocks * BLOCK_BYTES, None, gain_bytes)
    reserved_blocks = log.room.reserve_blocks + supply.spare_blocks
    available_blocks = max(0, log.unused_blocks + makeable_blocks - reserved_blocks)
    return Usage(used_blocks * BLOCK_BYTES, available_blocks * BLOCK_BYTES, gain_bytes)


def log_status(log: Log, supply: SegmentSupply, flusher: Flusher, reader: Reader) -> LogStatus:
    position = log.chain.position
    return LogStatus(
        segment=position.segment,
        block=position.block,
        next_osn=position.osn,
        durable_osn=flusher.durable_osn,
        count_of_segments=len(supply.size_blocks) - len(supply.capacity.numbers),
        replay_bytes=log.written_blocks * BLOCK_BYTES,
        cold_read_blocks=reader.cold_blocks,
    )
