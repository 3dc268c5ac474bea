"""The parts of an open pool, and how they are connected."""

from collections.abc import Callable

from odx_target.environment import Environment
from odx_target.store.bases.pool_bases import PoolBases
from odx_target.store.catalogue.checkpointer import Checkpointer
from odx_target.store.catalogue.interface import Catalogue, Checkpoint
from odx_target.store.catalogue.leaf_loader import LeafLoader
from odx_target.store.checking.scrub import Scrubber
from odx_target.store.cleaning.making import make_cleaner
from odx_target.store.digests.digester import Digester
from odx_target.store.health import Health
from odx_target.store.ledger import Ledger
from odx_target.store.log.batch import Position
from odx_target.store.log.checksum_index import ChecksumIndex
from odx_target.store.log.flusher import Flusher
from odx_target.store.log.follower import Followers
from odx_target.store.log.reader import Reader
from odx_target.store.log.writer import Log
from odx_target.store.map.leaf_memory import LeafMemory
from odx_target.store.opening.format_head import SHARED_HEADERS_FORMAT, OpenHead, checkpoint_fields
from odx_target.store.opening.json_position import position_to_json
from odx_target.store.opening.recovery import Recovered
from odx_target.store.pool_options import PoolOptions
from odx_target.store.segments.segment import SegmentStore
from odx_target.store.segments.supply import SegmentSupply
from odx_target.store.status import PoolSpace
from odx_target.store.troubles import Troubles
from odx_target.store.volumes.creation import make_recovered
from odx_target.store.volumes.linking import Linker


class PoolParts:
    """The parts of an open pool. When the pool is closed, `release_lock` is called last."""

    def __init__(
        self,
        head: OpenHead,
        recovered: Recovered,
        store: SegmentStore,
        catalogue: Catalogue,
        environment: Environment,
        options: PoolOptions,
        release_lock: Callable[[], None],
    ) -> None:
        identity = self._log_identity = head.fields.identity
        self._head = head.fields
        self.contents = recovered.contents
        self.contents.discards.spare(environment)
        self.troubles = Troubles(environment)
        self.health = Health(self.troubles)
        self._environment = environment
        self.turns = environment.turns
        self._catalogue = catalogue
        self._store = store
        self._release_lock = release_lock
        self._is_given_up = False
        self._is_rebuilt = recovered.is_rebuilt
        self._recovered_osn = recovered.position.osn
        self.space: PoolSpace | None = None
        self._limit_bytes = options.limit_bytes
        limits = options.limit_bytes, options.capacity_limit_bytes
        self.supply = SegmentSupply(store, environment, self.health, options.sizing(), *limits)
        self.supply.adopt(recovered.segments, recovered.sizes, recovered.position.segment)
        self._flusher = _flusher_after(recovered, self.supply, environment, self.health)
        index = ChecksumIndex(identity)
        self.log = self._make_log(index, recovered.position)
        self.commit = self.log.commit
        self.reader = Reader(self.log, self.supply, index, environment)
        self._followers = Followers(self.supply, self._flusher, self.reader.pins, identity, environment)
        memory = LeafMemory(self.contents.tally, options.map_memory_bytes)
        self.leaves = LeafLoader(catalogue, memory, environment, self.troubles, self.reader.pins.stored_leaves)
        self.checkpointer = Checkpointer(
            head,
            catalogue,
            self.log,
            self._flusher,
            environment,
            self._take_checkpoint,
            self.contents.discards,
            self.troubles,
            self.leaves,
        )
        self.scrubber = Scrubber(
            identity, self.contents, self.leaves, self.log, self.supply, self.reader.pins, environment, self.troubles
        )
        self._connect_checkpoints(recovered.replayed_blocks, options.checkpoint_blocks)
        ledger = self._ledger = self._make_ledger(index)
        make_recovered(ledger)
        self.cleaner = make_cleaner(head.fields, ledger, self.checkpointer, self._flusher, index, environment, options)
        self.bases = PoolBases(ledger, self.checkpointer, self.cleaner)

    def _connect_checkpoints(self, replayed_blocks: int, checkpoint_blocks: int | None) -> None:
        """Make the log and the leaf loader start checkpoints when these are due.

        `replayed_blocks` is the number of blocks of the log after the last checkpoint. A checkpoint is due after
        `checkpoint_blocks` blocks. None means the default of the log.
        """
        self.contents.leaves_in_use = self.leaves.leaves_in_use
        self.leaves.save_ended = self.checkpointer.save_ended
        self.log.on_checkpoint_due = self.leaves.save_soon = self.checkpointer.start_soon
        self.leaves.save_needed = self.checkpointer.start_needed
        self.log.written_blocks = replayed_blocks
        if checkpoint_blocks is not None:
            self.log.checkpoint_due_blocks = checkpoint_blocks

    def _make_log(self, index: ChecksumIndex, position: Position) -> Log:
        return Log(
            self._log_identity,
            self._head.epoch,
            self.supply,
            index,
            self._flusher,
            self.health,
            self._environment,
            position,
            shares_headers=self._head.format_version >= SHARED_HEADERS_FORMAT,
        )

    def _make_ledger(self, index: ChecksumIndex) -> Ledger:
        log, supply, reader, leaves = self.log, self.supply, self.reader, self.leaves
        return Ledger(
            self.contents,
            log,
            reader,
            supply,
            leaves,
            self.health,
            self._environment,
            Digester(log, supply, reader, index, leaves, self.contents.discards, self._environment),
            Linker(log, supply, reader, index, self._environment),
        )

    def _take_checkpoint(self) -> Checkpoint:
        position = self.log.chain.position
        segments = self.log.segment_sizes()
        capacity = self.supply.capacity.numbers
        for ahead in [number for number in segments if number > position.segment and number not in capacity]:
            del segments[ahead]
        return self.contents.checkpoint(position_to_json(position), checkpoint_fields(self._head), segments)


def _flusher_after(recovered: Recovered, supply: SegmentSupply, environment: Environment, health: Health) -> Flusher:
    """Make the flusher of a pool after its recovery. The segments that recovery has not synced wait for the first flush."""
    flusher = Flusher(supply.store, environment, health, recovered.position.osn)
    flusher.durable_osn = recovered.durable_osn
    flusher.dirty = {supply.segments[number] for number in recovered.unsynced}
    return flusher
