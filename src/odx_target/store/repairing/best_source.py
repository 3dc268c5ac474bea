"""The choice of the source from which a repair builds the contents of a pool.

The contents are built from the first of these sources that is sound:

1. the last checkpoint and the log after it, as in an ordinary opening;
2. the whole log, if it contains all changes since the pool was made;
3. the part of the checkpoint that can be read, and all readable batches after it;
4. all readable batches.
"""

from collections.abc import Callable

from odx_target.store.errors import PoolDamaged
from odx_target.store.opening.format_head import Head
from odx_target.store.opening.json_position import position_of_json
from odx_target.store.opening.leaf_overflow import LeafOverflow
from odx_target.store.opening.recovery import FIRST_POSITION
from odx_target.store.record_effects import Contents
from odx_target.store.repairing.rebuilding import Rebuilt, rebuild
from odx_target.store.repairing.remains import Remains
from odx_target.store.repairing.salvage import Salvage


def rebuild_from_best_source(
    salvage: Salvage, remains: Remains | None, head: Head, make_overflow: Callable[[], LeafOverflow], *, older_data: bool
) -> tuple[Rebuilt, dict[int, int]]:
    """Rebuild the contents of the pool from the best source. Also return the segments that must exist (number -> least size in
    blocks). `make_overflow` makes storage for the changed leaves. Raises OSError if a segment cannot be read, and PoolDamaged
    if the catalogue belongs to another pool.
    """
    if remains is None or (remains.complaints and not head.cleaned):
        known_osn = salvage.last_start_osn
        overflow = make_overflow()
        whole = rebuild(
            Contents(), salvage, FIRST_POSITION, known_osn, overflow, older_data=older_data, pool_identity=head.identity
        )
        if remains is None or not (whole.gaps or whole.odd_records):
            return whole, {}
        overflow.close()
        del whole, overflow
    checkpoint = remains.checkpoint
    if checkpoint.pool.get("identity") != head.identity.hex() or checkpoint.segments is None:
        raise PoolDamaged("the catalogue belongs to another pool")
    start = position_of_json(checkpoint.position)
    contents = Contents.of_checkpoint(checkpoint)
    overflow = make_overflow()
    rebuilt = rebuild(contents, salvage, start, start.osn, overflow, older_data=older_data, pool_identity=head.identity)
    return rebuilt, dict(checkpoint.segments)
