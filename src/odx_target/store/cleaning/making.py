"""A function that makes the cleaner of a pool from the parts of the pool."""

from odx_target.environment import Environment
from odx_target.store.catalogue.checkpointer import Checkpointer
from odx_target.store.cleaning.cleaner import Cleaner
from odx_target.store.cleaning.freeing import Freeing
from odx_target.store.cleaning.moving import Mover
from odx_target.store.cleaning.need import Need
from odx_target.store.ledger import Ledger
from odx_target.store.log.checksum_index import ChecksumIndex
from odx_target.store.log.flusher import Flusher
from odx_target.store.pool_options import PoolOptions


def make_cleaner(
    ledger: Ledger,
    checkpointer: Checkpointer,
    flusher: Flusher,
    index: ChecksumIndex,
    environment: Environment,
    options: PoolOptions,
) -> Cleaner:
    """Make a cleaner, and connect the log and the ledger to the cleaner."""
    log, supply = ledger.log, ledger.supply
    cleaner = Cleaner(
        ledger.contents,
        ledger.leaves,
        log,
        supply,
        checkpointer,
        Mover(log, supply, index, environment),
        Freeing(supply, checkpointer, flusher, ledger.reader, ledger.linker.links, environment),
        ledger.linker.links,
        Need(log, supply, options.sizing(), is_enabled=options.cleaning),
        environment,
        ledger.health.troubles,
        options.cleaning_share,
    )
    log.on_segment_full = cleaner.consider
    log.room.can_make_room = cleaner.can_make_room
    ledger.note_freed = cleaner.note_freed
    ledger.room_freed = cleaner.room_made
    return cleaner
