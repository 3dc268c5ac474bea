"""A function that makes the cleaner of a pool from the parts of the pool."""

from collections.abc import Mapping

from odx_target.environment import Environment
from odx_target.store.catalogue.checkpointer import Checkpointer
from odx_target.store.cleaning.capacity_writer import CapacityWriter
from odx_target.store.cleaning.cleaner import Cleaner
from odx_target.store.cleaning.cycle import Cycles
from odx_target.store.cleaning.moving import Mover
from odx_target.store.cleaning.need import Need
from odx_target.store.cleaning.segment_freeing import Freeing
from odx_target.store.cleaning.tier_placement import Placement
from odx_target.store.ledger import Ledger
from odx_target.store.log.checksum_index import ChecksumIndex
from odx_target.store.log.compressed.codecs import Codec
from odx_target.store.log.flusher import Flusher
from odx_target.store.opening.format_head import Head
from odx_target.store.pool_options import PoolOptions
from odx_target.store.volumes.compression_attribute import LZ4, OFF, ZSTANDARD

CODECS: Mapping[str, Codec | None] = {OFF: None, LZ4: Codec.LZ4, ZSTANDARD: Codec.ZSTANDARD}
"""The codecs of the capacity tier, by the names of the compressions."""


def make_cleaner(
    head: Head,
    ledger: Ledger,
    checkpointer: Checkpointer,
    flusher: Flusher,
    index: ChecksumIndex,
    environment: Environment,
    options: PoolOptions,
) -> Cleaner:
    """Make a cleaner, and connect the log and the ledger to the cleaner."""
    log, supply = ledger.log, ledger.supply
    need = Need(log, supply, options.sizing(), is_enabled=options.cleaning)
    mover = Mover(log, supply, index, ledger.reader.native, environment, ledger.health.troubles)
    codec = CODECS[options.capacity_compression]
    capacity_writer = CapacityWriter(head.identity, head.epoch, supply, index, environment, codec)
    placement = Placement(ledger.contents, supply, capacity_writer, mover, need, environment, ledger.health.troubles)
    cycles = Cycles(
        ledger.contents,
        ledger.leaves,
        log,
        supply,
        checkpointer,
        mover,
        Freeing(supply, checkpointer, flusher, ledger.reader, ledger.linker.links, environment),
        ledger.linker.links,
        need,
        placement,
        environment.turns,
    )
    cleaner = Cleaner(cycles, environment, ledger.health.troubles, options.cleaning_share)
    log.on_segment_full = cleaner.consider
    log.room.can_make_room = cleaner.can_make_room
    ledger.note_freed = cleaner.note_freed
    ledger.note_sharing, ledger.note_tier = cleaner.note_sharing, cleaner.note_tier
    ledger.room_freed = cleaner.room_made
    return cleaner
