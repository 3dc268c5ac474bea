"""Checkpoints that are saved while a lost catalogue is rebuilt from the whole log.

The leaves that a replay changes stay in memory until a checkpoint has stored them. The whole log may have changed more leaves
than fit into memory. So a checkpoint is saved in the catalogue whenever the changed leaves need a share of the memory for maps,
and the stored leaves then drop their entries.

These checkpoints are marked with REBUILDING, because the log after such a checkpoint has not been checked yet. If the
rebuilding is interrupted, the next opening continues it from the last of these checkpoints.
"""

from collections.abc import Mapping
from contextlib import suppress

from odx_target.store.catalogue.interface import Catalogue
from odx_target.store.errors import Refused, Scarcity, Unwritable
from odx_target.store.log.end_of_log import Replay
from odx_target.store.log.footer import footer_blocks
from odx_target.store.map.leaf import ABSENT
from odx_target.store.map.leaf_memory import CHECKPOINT_SHARE, UNIT_BYTES, UNITS_OF_A_CHANGED_LEAF
from odx_target.store.opening.json_position import position_to_json
from odx_target.store.record_effects import Contents
from odx_target.store.segments.segment import SegmentStore

REBUILDING = "rebuilding"
"""Name of the field in the pool of a checkpoint that was saved during a rebuilding. The value is true."""


class RebuildCheckpoints:
    """Saves checkpoints in `catalogue` during a rebuilding. `map_memory_bytes` is the memory for maps. None means no limit, and
    no checkpoint is saved. The methods wait for the disk.
    """

    def __init__(self, store: SegmentStore, catalogue: Catalogue, pool_identity: bytes, map_memory_bytes: int | None) -> None:
        self._store = store
        self._catalogue = catalogue
        self._pool_identity = pool_identity
        self._synced: dict[int, int] = {}
        """The segments that were synced, and the number of their blocks that were in use then."""
        self._max_changed: float = float("inf")
        if map_memory_bytes is not None:
            share_bytes = CHECKPOINT_SHARE * map_memory_bytes
            self._max_changed = max(share_bytes / (UNITS_OF_A_CHANGED_LEAF * UNIT_BYTES), 1)

    def is_due(self, contents: Contents) -> bool:
        return contents.tally.made >= self._max_changed

    def save(self, contents: Contents, replay: Replay, listed: Mapping[int, int], sizes: Mapping[int, int]) -> None:
        """Save the contents, which are those at the end of the replay so far. The stored leaves drop their entries.

        `listed` has the segments of the checkpoint from which the replay began, and `sizes` the sizes of all segments. If the
        catalogue has no room, the leaves stay in memory, and the next attempt is made after twice as many changes. Raises
        OSError if the log cannot be synced.
        """
        self._sync(replay)
        segments = {**listed, **{number: _least_blocks(used, sizes[number]) for number, used in replay.used.items()}}
        pool = {"identity": self._pool_identity.hex(), REBUILDING: True}
        made = contents.tally.made
        checkpoint = contents.checkpoint(position_to_json(replay.end), pool, segments)
        self._max_changed *= 2
        with suppress(Scarcity, Refused, Unwritable):
            self._catalogue.save(checkpoint)
            self._max_changed /= 2
            contents.tally.made -= made
            for leaf in checkpoint.saved or ():
                leaf.entries = ABSENT

    def _sync(self, replay: Replay) -> None:
        """Sync the replayed segments, because a checkpoint must not contain records that are not durable."""
        for number, used_blocks in replay.used.items():
            if self._synced.get(number) != used_blocks:
                self._store.open(number).sync()
                self._synced[number] = used_blocks


def _least_blocks(used_blocks: int, size_blocks: int) -> int:
    """Return the least size of a replayed segment: its present size if it is sealed, or else the number of its used blocks."""
    sealed_blocks = used_blocks + footer_blocks(used_blocks)
    return sealed_blocks if size_blocks == sealed_blocks else used_blocks
