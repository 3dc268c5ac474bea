"""The catalogue: checkpoints kept outside the log, so that recovery need not replay the log from its beginning."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from odx_target.store.map.frozen_root import FrozenRoot


@dataclass(frozen=True, slots=True)
class VolumeState:
    """A volume as a checkpoint knows it; its size is that of the root."""

    number: int
    name: str
    identity: bytes
    attributes: Mapping[str, str]
    root: FrozenRoot


@dataclass(frozen=True, slots=True)
class FrozenMapState:
    """A frozen map that is not released.

    One that is not durable is kept because the log may refer to it after the checkpoint.
    """

    identifier: int
    durable: bool
    root: FrozenRoot


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The whole state of a pool at one position of its log."""

    position: Mapping[str, Any]
    """Where replay goes on; values that JSON can hold, opaque here."""

    pool: Mapping[str, Any] = field(default_factory=dict)
    """Other values of the pool (its identity, the next identifiers to give out); as above."""

    volumes: tuple[VolumeState, ...] = ()
    frozen_maps: tuple[FrozenMapState, ...] = ()
    remembered: Mapping[str, bytes] = field(default_factory=dict)

    segments: Mapping[int, int] | None = None
    """The least size in blocks of each segment that must exist, by number; None if it was not kept."""

    def roots(self) -> list[FrozenRoot]:
        """All trees, some of which may share nodes."""
        return [volume.root for volume in self.volumes] + [frozen.root for frozen in self.frozen_maps]


class Catalogue(Protocol):
    """Keeps one checkpoint: the last that was saved.

    The trees below the roots are kept by node. A node that was saved once knows it and is not written again while any saved
    root reaches it, so saving costs what changed. Nodes that nothing reaches any more are swept now and then, in a save.

    `save` may run in a thread beside the event loop, one at a time. It reads only frozen nodes, which never change, and does
    three things to them, each one reference replaced under the interpreter's lock: it sets the number a node is kept under,
    takes that back if the save fails, and gives a leaf the packed form of the same content. The event loop reads neither the
    number nor minds the form; it copies a frozen node before it writes, and the copy starts without a number.

    A catalogue's nodes are its own: a root must not be saved to two catalogues.
    """

    def load(self) -> Checkpoint | None:
        """The last checkpoint saved, or None if there is none; then `save` goes on from it. Called once, first.

        Raises PoolDamaged if what is kept contradicts itself or is of a newer format.
        """
        ...

    def save(self, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint, wholly or not at all; durable when it returns.

        Raises Scarcity, Refused or Unwritable when the disk does not take it; then the former checkpoint is still there and a
        later save may succeed.
        """
        ...

    def close(self) -> None:
        """Give up files. The checkpoint stays."""
        ...
