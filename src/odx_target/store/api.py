"""The interface of the store to the rest of the array.

A *pool* contains *volumes*. A volume is a row of 4 KiB blocks. Blocks may be holes. A read of a hole returns zeros. A *frozen
map* is the content of a volume at one moment. No call in this module blocks the event loop: plain functions use only memory and
the page cache, and calls that wait are coroutines.

Writing has two steps. `Volume.write`, `unmap`, `copy_from` and `freeze` take effect in memory at once, and add a record to the
open batch of the pool, which collects records. `Pool.commit` writes the batch to the operating system. The changes in the batch
then survive the end of the process. The array must not acknowledge a change to an initiator before `commit` has returned. After
`Pool.flush` has returned, the changes that were committed before the flush survive a loss of power too.
"""

from odx_target.store.bases.interface import Bases, Fetch
from odx_target.store.changeable_options import ChangeableOptions
from odx_target.store.digests.interface import Digests, DigestTree
from odx_target.store.errors import (
    Absent,
    CatalogueDamaged,
    DamagedBlock,
    Held,
    LogFreed,
    LogUnreadable,
    NameTaken,
    OutOfResources,
    OverLimit,
    PlaceGone,
    PoolBusy,
    PoolDamaged,
    PoolFailed,
    PoolFull,
    PoolInUse,
    Refused,
    Scarcity,
    SourceAway,
    StoreError,
    Unreadable,
    Unsettled,
    Unwritable,
    WrongSize,
)
from odx_target.store.interface import Pool, Scrubber
from odx_target.store.log.followed import Followed, Following, Prepare
from odx_target.store.log.records import (
    Clone,
    CompressedWrite,
    Forget,
    Freeze,
    Link,
    Moved,
    Record,
    Refer,
    Release,
    Remember,
    Unmap,
    VolumeCreated,
    VolumeDeleted,
    VolumeResized,
    Write,
)
from odx_target.store.log.snapshot_records import (
    SnapshotChanged,
    SnapshotCreated,
    SnapshotDeleted,
    VolumeChanged,
    VolumeCloned,
    VolumeRestored,
)
from odx_target.store.segments.watch import BeforeCall, SegmentCall
from odx_target.store.status import (
    CapacityStatus,
    CleaningStatus,
    DamagedPlace,
    LogStatus,
    PoolSpace,
    PoolStatus,
    ScrubProgress,
    Space,
    Trouble,
    TroubleCount,
    TroubleKind,
    Usage,
    VolumeSpace,
)
from odx_target.store.volumes.busy_pool import change_when_ready
from odx_target.store.volumes.changes import Change, ChangedRanges, Numbers, RangeStream
from odx_target.store.volumes.compression_attribute import COMPRESSION_ATTRIBUTE, COMPRESSIONS, compression_of
from odx_target.store.volumes.interface import Volume
from odx_target.store.volumes.link_interface import StoredBlocks
from odx_target.store.volumes.source_interface import BLOCK_BYTES, AdoptedSnapshot, BlockSource, FrozenMap, Snapshot
from odx_target.store.volumes.tier_attribute import TIER_ATTRIBUTE, Tier, tier_of

__all__ = [
    "BLOCK_BYTES",
    "COMPRESSIONS",
    "COMPRESSION_ATTRIBUTE",
    "TIER_ATTRIBUTE",
    "Absent",
    "AdoptedSnapshot",
    "Bases",
    "BeforeCall",
    "BlockSource",
    "CapacityStatus",
    "CatalogueDamaged",
    "Change",
    "ChangeableOptions",
    "ChangedRanges",
    "CleaningStatus",
    "Clone",
    "CompressedWrite",
    "DamagedBlock",
    "DamagedPlace",
    "DigestTree",
    "Digests",
    "Fetch",
    "Followed",
    "Following",
    "Forget",
    "Freeze",
    "FrozenMap",
    "Held",
    "Link",
    "LogFreed",
    "LogStatus",
    "LogUnreadable",
    "Moved",
    "NameTaken",
    "Numbers",
    "OutOfResources",
    "OverLimit",
    "PlaceGone",
    "Pool",
    "PoolBusy",
    "PoolDamaged",
    "PoolFailed",
    "PoolFull",
    "PoolInUse",
    "PoolSpace",
    "PoolStatus",
    "Prepare",
    "RangeStream",
    "Record",
    "Refer",
    "Refused",
    "Release",
    "Remember",
    "Scarcity",
    "ScrubProgress",
    "Scrubber",
    "SegmentCall",
    "Snapshot",
    "SnapshotChanged",
    "SnapshotCreated",
    "SnapshotDeleted",
    "SourceAway",
    "Space",
    "StoreError",
    "StoredBlocks",
    "Tier",
    "Trouble",
    "TroubleCount",
    "TroubleKind",
    "Unmap",
    "Unreadable",
    "Unsettled",
    "Unwritable",
    "Usage",
    "Volume",
    "VolumeChanged",
    "VolumeCloned",
    "VolumeCreated",
    "VolumeDeleted",
    "VolumeResized",
    "VolumeRestored",
    "VolumeSpace",
    "Write",
    "WrongSize",
    "change_when_ready",
    "compression_of",
    "tier_of",
]
