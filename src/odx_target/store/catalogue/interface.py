"""The interface of the catalogue, which stores a checkpoint outside the log.

Recovery replays only the log after this checkpoint.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from odx_target.store.errors import StoreError
from odx_target.store.map.frozen_root import FrozenRoot
from odx_target.store.map.leaf import Entries, Leaf

Found: TypeAlias = "Entries | StoreError"
"""The entries of a leaf, or the reason why the leaf cannot be read."""


@dataclass(frozen=True, slots=True)
class VolumeState:
    """The state of a volume in a checkpoint. The size of the volume is `root.size_blocks`."""

    number: int
    name: str
    identity: bytes
    attributes: Mapping[str, str]
    root: FrozenRoot
    lineage: bytes = b""
    """Lineage of the volume. A restore changes the lineage, and a clone inherits it."""


@dataclass(frozen=True, slots=True)
class FrozenMapState:
    """The state of a frozen map in a checkpoint.

    The checkpoint also contains frozen maps that are not durable, because the log after the checkpoint may refer to them.
    """

    identifier: int
    durable: bool
    root: FrozenRoot


@dataclass(frozen=True, slots=True)
class SnapshotState:
    """The state of a named snapshot in a checkpoint.

    `frozen` is the identifier of the frozen map of the snapshot. `volume_name` and `lineage` are the name and the lineage that
    the volume had when the snapshot was taken.
    """

    guid: bytes
    frozen: int
    name: str
    volume_identity: bytes
    volume_name: str
    lineage: bytes
    created_us: int
    """Wall clock time in microseconds since 1970."""
    group: bytes
    """GUID of the consistency group. Zeros if the snapshot was taken alone."""
    attributes: Mapping[str, str]
    holds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The whole state of a pool at one position of its log."""

    position: Mapping[str, Any]
    """Position in the log from which recovery replays, as JSON values. The catalogue does not interpret these values."""

    pool: Mapping[str, Any] = field(default_factory=dict)
    """Other JSON values of the pool, such as its identity and the next free identifiers."""

    volumes: tuple[VolumeState, ...] = ()
    frozen_maps: Collection[FrozenMapState] = ()
    remembered: Mapping[str, bytes] = field(default_factory=dict)

    rewritten: list[Leaf] = field(default_factory=list)
    """Leaves whose data has moved to other places since they were stored. A save stores them again under the same numbers."""

    snapshots: Collection[SnapshotState] = ()
    """Named snapshots. The frozen maps of the snapshots are in `frozen_maps`."""

    segments: Mapping[int, int] | None = None
    """Minimum size, in blocks, of each segment that must exist, by segment number. None if the catalogue does not contain the
    sizes."""

    held_roots: Iterable[FrozenRoot] = ()
    """Trees that are in use although they may not belong to a volume or a frozen map any more. A save does not store new nodes
    of these trees, but it keeps their nodes that are stored already. A save reads this field at most once."""

    held_leaves: Collection[Leaf] = ()
    """Leaves that are in use although they may not be in a tree any more. If they are stored already, a save keeps them."""

    saved: list[Leaf] | None = None
    """List to which a successful save adds the leaves that it has stored. A leaf may be added twice. None if no list is
    wanted."""

    def roots(self) -> Iterator[FrozenRoot]:
        """Yield the root of the tree of each volume and frozen map. The trees may share nodes."""
        return roots_of(self.volumes, self.frozen_maps)


def roots_of(volumes: Iterable[VolumeState], frozen_maps: Iterable[FrozenMapState]) -> Iterator[FrozenRoot]:
    """Yield the root of the tree of each volume and of each frozen map."""
    yield from (volume.root for volume in volumes)
    yield from (frozen.root for frozen in frozen_maps)


class Catalogue(Protocol):
    """Storage for one checkpoint: the last checkpoint that was saved.

    Each node of a tree is stored under a number. A node keeps this number, and later saves do not write the node again. Only
    the `rewritten` leaves are written again. So the cost of a save depends only on the number of changes. From time to time a
    save deletes stored nodes. It keeps the nodes in the trees of the checkpoint, in `held_roots` and in `held_leaves`.

    `save` may run in a thread beside the event loop. Only one `save` may run at a time, but other threads may call
    `leaf_entries` meanwhile.

    `save` reads only frozen nodes. Their content does not change during a save, because leaves are relocated only while no save
    is running. `save` sets the number of each node that it stores, and resets the number after a failure. `save` may also
    replace the entries of a leaf by their packed form. Each of these changes replaces one reference, which is atomic under the
    interpreter's lock. The event loop never reads a number that a running save has set, and it can read both forms of a leaf.
    Before the event loop changes a frozen node, it makes a copy. The copy has no number.

    The same root must not be saved to two catalogues, because a node has only one number.
    """

    def load(self, *, with_entries: bool = True) -> Checkpoint | None:
        """Load the last saved checkpoint. Returns None if no checkpoint was saved. Called once, before any `save`.

        If `with_entries` is False, the leaves are loaded without their entries, so that the call takes little time and memory.
        Raises PoolDamaged if the stored data is damaged or has a newer format.
        """
        ...

    def leaf_entries(self, numbers: Sequence[int]) -> list[Found]:
        """Read the entries of stored leaves. Waits for the disk, so call it in a thread.

        For each leaf, the result has its entries or an exception. The exception is PoolDamaged if the stored leaf is damaged or
        missing. Any other exception means that the leaf cannot be read now.
        """
        ...

    def save(self, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint atomically. The new checkpoint is durable when the call returns.

        Raises Scarcity, Refused or Unwritable if the checkpoint cannot be written. The former checkpoint then stays, and a
        later save may succeed.
        """
        ...

    def close(self) -> None:
        """Close the files. The checkpoint stays."""
        ...
