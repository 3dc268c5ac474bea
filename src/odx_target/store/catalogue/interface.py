"""The interface of the catalogue, which stores a checkpoint outside the log so that recovery need not replay the whole log."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from odx_target.store.map.frozen_root import FrozenRoot


@dataclass(frozen=True, slots=True)
class VolumeState:
    """The state of a volume in a checkpoint; its size is the size of the root."""

    number: int
    name: str
    identity: bytes
    attributes: Mapping[str, str]
    root: FrozenRoot
    lineage: bytes = b""
    """Changes when the volume is restored, and clones inherit it."""


@dataclass(frozen=True, slots=True)
class FrozenMapState:
    """The state of a frozen map in a checkpoint.

    A frozen map that is not durable is included too, because the log after the checkpoint may refer to it.
    """

    identifier: int
    durable: bool
    root: FrozenRoot


@dataclass(frozen=True, slots=True)
class SnapshotState:
    """The state of a named snapshot. `frozen` identifies its frozen map; the fields of the volume are those at its creation."""

    guid: bytes
    frozen: int
    name: str
    volume_identity: bytes
    volume_name: str
    lineage: bytes
    created_us: int
    """Wall clock time in microseconds since 1970."""
    group: bytes
    """GUID of the consistency group; zeros if there is none."""
    attributes: Mapping[str, str]
    holds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The whole state of a pool at one position of its log."""

    position: Mapping[str, Any]
    """Position in the log from which recovery replays, as values that JSON can hold. The catalogue does not interpret them."""

    pool: Mapping[str, Any] = field(default_factory=dict)
    """Other values of the pool, such as its identity and the next free identifiers, as values that JSON can hold."""

    volumes: tuple[VolumeState, ...] = ()
    frozen_maps: Collection[FrozenMapState] = ()
    remembered: Mapping[str, bytes] = field(default_factory=dict)

    snapshots: Collection[SnapshotState] = ()
    """Named snapshots, whose frozen maps are in `frozen_maps`."""

    segments: Mapping[int, int] | None = None
    """Least size in blocks of each segment that must exist, by number; None if the catalogue does not have it."""

    def roots(self) -> Iterator[FrozenRoot]:
        """Yield the root of each tree. Trees may share nodes."""
        yield from (volume.root for volume in self.volumes)
        yield from (frozen.root for frozen in self.frozen_maps)


class Catalogue(Protocol):
    """Storage for one checkpoint, the last that was saved.

    Each node of a tree is stored under a number. The node keeps this number and is not written again while a saved root
    reaches it, so the cost of a save depends only on the changes. From time to time a save deletes the unreachable nodes.

    `save` may run in a thread beside the event loop, but only once at a time. It reads only frozen nodes, whose content never
    changes. It sets the number of a node, resets the number if the save fails, and may replace the entries of a leaf by their
    packed form. Each of these replaces one reference under the interpreter's lock. The event loop does not read the numbers
    and reads both forms of a leaf. It copies a frozen node before it changes it, and the copy has no number.

    A root must not be saved to two catalogues, because a node has only one number.
    """

    def load(self) -> Checkpoint | None:
        """Load the last saved checkpoint; None if there is none. Called once, before any `save`.

        Raises PoolDamaged if the stored data contradicts itself or has a newer format.
        """
        ...

    def save(self, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint atomically; the new one is durable when the call returns.

        Raises Scarcity, Refused or Unwritable if the disk does not take it. The former checkpoint then stays, and a later save
        may succeed.
        """
        ...

    def close(self) -> None:
        """Close the files. The checkpoint stays."""
        ...
