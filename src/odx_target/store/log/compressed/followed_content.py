"""The content of records that a follower of the log has read."""

from odx_target.environment import Buffer, Environment, Work
from odx_target.store.errors import DamagedBlock
from odx_target.store.log.compressed import compressed_extents
from odx_target.store.log.compressed.compressed_extents import InvalidExtent, decode_extent, wrong_block
from odx_target.store.log.followed import Followed
from odx_target.store.log.records import CompressedWrite


async def content_of(followed: Followed, environment: Environment) -> Buffer:
    """Return the data of a record; see `Pool.content_of`. Raises DamagedBlock."""
    record = followed.record
    if followed.data is None:
        raise DamagedBlock(getattr(record, "block", 0))
    if not isinstance(record, CompressedWrite):
        return followed.data
    return await environment.in_thread(_decompressed, record, followed.data, work=Work.READS)


def _decompressed(record: CompressedWrite, data: memoryview) -> bytes:
    try:
        extent = decode_extent(data)
        content = compressed_extents.content_of(extent)
    except InvalidExtent as error:
        raise DamagedBlock(record.block, str(error)) from error
    wrong = wrong_block(content, extent.checksums, 0, record.count_blocks)
    if wrong is not None:
        raise DamagedBlock(record.block + wrong)
    return content
