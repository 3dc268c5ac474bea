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
"""The result of reading a leaf: its entries, or an error."""


@dataclass(frozen=True, slots=True)
class VolumeState:
    """The state of a volume in a checkpoint. The size of the volume is `root.size_blocks`."""

    number: int
    name: str
    identity: bytes
    attributes: Mapping[str, str]
    root: FrozenRoot
    lineage: bytes = b""
    """16 bytes that identify the history of the volume; see `Volume.lineage`."""


@dataclass(frozen=True, slots=True)
class FrozenMapState:
    """The state of a frozen map in a checkpoint.

    A checkpoint also contains frozen maps that do not survive a restart, because the log after the checkpoint may refer to
    them.
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
    """GUID of the group of snapshots that were taken together. 16 zero bytes if the snapshot was taken alone."""
    attributes: Mapping[str, str]
    holds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The whole state of a pool at one position of its log."""

    position: Mapping[str, Any]
    """Position in the log at which a replay begins, as JSON values. The catalogue does not interpret these values."""

    pool: Mapping[str, Any] = field(default_factory=dict)
    """Further JSON values of the pool, such as its identity and the next free numbers of volumes and frozen maps."""

    volumes: tuple[VolumeState, ...] = ()
    """The volumes. A catalogue loads them in the order of their numbers."""

    frozen_maps: Collection[FrozenMapState] = ()
    remembered: Mapping[str, bytes] = field(default_factory=dict)

    rewritten: list[Leaf] = field(default_factory=list)
    """Leaves whose places changed after the leaves were stored, because the cleaner moved their data. A save stores these
    leaves again under the same numbers."""

    snapshots: Collection[SnapshotState] = ()
    """Named snapshots. The frozen maps of the snapshots are in `frozen_maps`."""

    segments: Mapping[int, int] | None = None
    """The segments that must exist: segment number -> least size in blocks. None if the catalogue does not contain these
    sizes."""

    held_roots: Iterable[FrozenRoot] = ()
    """Trees that are in use, but may no longer belong to a volume or a frozen map. A save keeps the nodes of these trees that
    are already stored, and stores no further nodes of them. A save reads this field at most once."""

    held_leaves: Collection[Leaf] = ()
    """Leaves that are in use, but may no longer be in a tree. A save keeps those of them that are already stored."""

    saved: list[Leaf] | None = None
    """List to which a successful save adds the leaves that it has stored. A leaf may be added twice. None if the caller does
    not need this list."""

    def roots(self) -> Iterator[FrozenRoot]:
        """Yield the root of the tree of each volume and frozen map. The trees may share nodes."""
        return roots_of(self.volumes, self.frozen_maps)


def roots_of(volumes: Iterable[VolumeState], frozen_maps: Iterable[FrozenMapState]) -> Iterator[FrozenRoot]:
    """Yield the root of the tree of each volume and of each frozen map."""
    yield from (volume.root for volume in volumes)
    yield from (frozen.root for frozen in frozen_maps)


class LeafSource(Protocol):
    """A storage of leaves, such as a catalogue."""

    def leaf_entries(self, numbers: Sequence[int]) -> list[Found]:
        """Read the entries of stored leaves; see `Catalogue.leaf_entries`."""
        ...


class Catalogue(Protocol):
    """Storage for one checkpoint: the last checkpoint that was saved.

    Each node of a tree is stored under a number. A node keeps this number, and later saves do not write the node again. Only
    the leaves in `Checkpoint.rewritten` are written again. So the cost of a save depends only on the number of changes. Some
    saves also delete stored nodes that are no longer needed. A save never deletes nodes in the trees of the checkpoint, in
    `held_roots` or in `held_leaves`.

    `save` may run in a thread while the event loop runs. Only one `save` may run at a time, but other threads may call
    `leaf_entries` meanwhile.

    `save` reads only frozen nodes. The content of these nodes does not change during a save, because the cleaner relocates
    leaves only while no save is running. `save` sets the number of each node that it stores, and resets the number after a
    failure. `save` may also replace the entries of a leaf by their packed form. Each of these changes replaces one reference,
    which is atomic because of the global interpreter lock of Python. The event loop never reads a number that a running save
    has set, and it can read both forms of a leaf. The event loop never changes a frozen node. Instead, it makes a copy without
    a number, and changes the copy.

    A tree must not be saved to two catalogues, because a node has only one number.
    """

    def load(self, *, with_entries: bool = True) -> Checkpoint | None:
        """Load the last saved checkpoint. Returns None if no checkpoint was saved. Call this method only once, before the first
        `save`.

        If `with_entries` is False, the leaves get no entries, so that the call takes little time and memory. Raises PoolDamaged
        if the stored data is damaged or has a newer format.
        """
        ...

    def leaf_entries(self, numbers: Sequence[int]) -> list[Found]:
        """Read the entries of stored leaves. Waits for the disk, so call it in a thread.

        The result contains the entries of each leaf, or an exception instead. The exception is PoolDamaged if the stored leaf
        is damaged or missing. Any other exception means that the leaf cannot be read now.
        """
        ...

    def leaf_bodies(self, numbers: Sequence[int]) -> list[bytes | StoreError]:
        """Read stored leaves in their encoded form (see `node_codec`). Waits for the disk, so call it in a thread.

        The read is fast if the numbers are in ascending order. The result contains the body of each leaf, or an exception as in
        `leaf_entries`. The body is verified by its checksum, but it may still be no valid leaf.
        """
        ...

    def save(self, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint atomically. The new checkpoint is durable when the call returns.

        Raises Scarcity, Refused or Unwritable if the checkpoint cannot be written. The former checkpoint then remains valid,
        and a later save may succeed.
        """
        ...

    def close(self) -> None:
        """Close the files. The last checkpoint remains stored."""
        ...
