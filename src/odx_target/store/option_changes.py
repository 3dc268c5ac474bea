"""Changes the options of an open pool. The size of new segments stays, because the pool counts its room in such segments."""

from odx_target.store.api import BLOCK_BYTES, ChangeableOptions
from odx_target.store.catalogue.leaf_loader import LeafLoader
from odx_target.store.cleaning.cleaner import Cleaner
from odx_target.store.cleaning.making import CODECS
from odx_target.store.errors import StoreError
from odx_target.store.map.leaf_memory import DEFAULT_MAP_MEMORY_BYTES
from odx_target.store.segments.supply import MIN_LIMIT_SEGMENTS, SegmentSupply


def change_options(options: ChangeableOptions, supply: SegmentSupply, cleaner: Cleaner, leaves: LeafLoader) -> None:
    """Give the parts of a pool other options.

    If the pool uses more room than a new limit, no data is lost: the cleaner works without pauses, and writes that need a new
    segment are refused until enough room is free. Raises StoreError if a limit is too small for the segments of this pool. Then
    nothing has changed.
    """
    least_bytes = MIN_LIMIT_SEGMENTS * supply.segment_blocks * BLOCK_BYTES
    for what, limit_bytes in (("a pool", options.limit_bytes), ("its capacity tier", options.capacity_limit_bytes)):
        if limit_bytes is not None and limit_bytes < least_bytes:
            segment_bytes = supply.segment_blocks * BLOCK_BYTES
            raise StoreError(
                f"the limit of {what} is at least {least_bytes} bytes until it is opened again, because new segments have "
                f"{segment_bytes} bytes"
            )
    if not leaves.memory.is_bounded:
        raise StoreError("the memory for maps has no limit until the pool is opened again")
    leaves.memory.set_bound(options.map_memory_bytes or DEFAULT_MAP_MEMORY_BYTES)
    leaves.relieve_soon()
    supply.capacity.set_limit(options.capacity_limit_bytes)
    supply.set_limit(options.limit_bytes)
    cleaner.placement.capacity_writer.codec = CODECS[options.capacity_compression]
    cleaner.change_options(is_enabled=options.cleaning, work_share=options.cleaning_share)
