"""A catalogue in any storage that stores bodies (byte strings) under names, and can change many bodies in one transaction."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

from odx_target.store.catalogue.interface import Checkpoint, Found, FrozenMapState, SnapshotState, VolumeState
from odx_target.store.catalogue.kept_trees import TreeReader, TreeWriter, kept_numbers, rewritten_bodies
from odx_target.store.catalogue.node_codec import decode_leaf, node_name, sealed, unsealed
from odx_target.store.errors import CatalogueDamaged, PoolDamaged, StoreError
from odx_target.store.map.frozen_root import FrozenRoot

SWEEP_AFTER_NODES = 4096
"""Least number of new nodes between two sweeps. A *sweep* deletes the dead nodes, which are in no tree any more. A sweep visits
all nodes, which would cost too much for a few dead nodes."""

ReadRoot: TypeAlias = Callable[[int, int, int], FrozenRoot]
"""Function that reads the tree below a node. Its arguments are the number of the node, the number of levels, and the size in
blocks."""

_HEAD = b"head"

_BYTES_OF_A_SNAPSHOT = ("guid", "volume_identity", "lineage", "group")


@dataclass
class NodeCounts:
    """The next free node number, and the counts that determine when the next sweep is due."""

    next_number: int = 1
    written: int = 0
    """Number of nodes that were written since the last sweep."""
    swept: int = 0
    """Number of nodes that the last sweep kept."""

    def sweep_is_due(self) -> bool:
        """True if the number of nodes that were written since the last sweep is above SWEEP_AFTER_NODES plus the number of
        nodes that this sweep kept.

        With this rule, there are never many more dead nodes than live nodes, and sweeps cost little compared with the writes of
        nodes.
        """
        return self.written > self.swept + SWEEP_AFTER_NODES


class TransactionalCatalogue(ABC):
    """The part of a catalogue that does not depend on the kind of storage.

    A catalogue stores three kinds of bodies: one head, which is a JSON document; one value for each remembered key; and
    numbered nodes.
    """

    def __init__(self) -> None:
        self._counts = NodeCounts()
        self._remembered: Mapping[str, bytes] = {}
        self._is_unsure = False

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[None]:
        """Return a context manager. All changes inside the context are one transaction.

        When the context ends, all its changes become durable together. After an exception, all its changes are discarded.
        """

    @abstractmethod
    def _get_head(self) -> bytes | None: ...

    @abstractmethod
    def _put_head(self, body: bytes) -> None: ...

    @abstractmethod
    def _get_values(self) -> Iterable[tuple[str, bytes]]: ...

    @abstractmethod
    def _put_values(self, values: Iterable[tuple[str, bytes]]) -> None: ...

    @abstractmethod
    def _delete_values(self, keys: Iterable[str]) -> None: ...

    @abstractmethod
    def _get_node(self, number: int) -> bytes | None: ...

    @abstractmethod
    def _put_nodes(self, nodes: Iterator[tuple[int, bytes]]) -> None:
        """Store nodes under their numbers. A node replaces an older node with the same number."""

    @abstractmethod
    def _delete_nodes(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Delete all nodes whose numbers are in the ranges (first, last). The number `last` is included."""

    def load(self, *, with_entries: bool = True) -> Checkpoint | None:
        data = self._get_head()
        if data is None:
            return None
        head = unsealed(_HEAD, data)
        try:
            document = json.loads(head)
            checkpoint = self._decoded(document, with_entries=with_entries)
            self._counts = NodeCounts(**document["nodes"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PoolDamaged("the catalogue's head makes no sense") from error
        if len(checkpoint.remembered) != document["remembered"]:
            raise PoolDamaged("the catalogue has lost remembered values")
        self._remembered = checkpoint.remembered
        return checkpoint

    def stored_node(self, number: int) -> bytes | None:
        """Read the sealed body of a node. Returns None if there is no such node. Raises CatalogueDamaged if the body cannot be
        read.
        """
        return self._get_node(number)

    def stored_values(self) -> list[tuple[str, bytes]]:
        """Read the sealed bodies of all remembered values. Raises CatalogueDamaged if they cannot be read."""
        return list(self._get_values())

    def load_remains(self, read_root: ReadRoot, complaints: list[str]) -> Checkpoint | None:
        """Load the part of the last checkpoint that can be read. `read_root` reads the trees.

        Adds descriptions of the damage to `complaints`. Returns None if no checkpoint was saved. Raises PoolDamaged if the head
        of the catalogue cannot be read.
        """
        data = self._get_head()
        if data is None:
            return None
        try:
            document = json.loads(unsealed(_HEAD, data))
            checkpoint = _checkpoint(document, read_root, self._remembered_left(complaints))
            lost_values = document["remembered"] - len(checkpoint.remembered)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PoolDamaged("the catalogue's head makes no sense") from error
        if lost_values:
            complaints.append(f"{lost_values} remembered values of the catalogue are damaged or missing")
        return checkpoint

    def _remembered_left(self, complaints: list[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        try:
            rows = self.stored_values()
        except CatalogueDamaged as error:
            complaints.append(str(error))
            return found
        for key, body in rows:
            with suppress(PoolDamaged):
                found[key] = unsealed(key.encode(), body)
        return found

    def leaf_entries(self, numbers: Sequence[int]) -> list[Found]:
        return [self._leaf_entries(number) for number in numbers]

    def _leaf_entries(self, number: int) -> Found:
        try:
            return decode_leaf(unsealed(node_name(number), self._get_node(number)))
        except StoreError as error:
            return error

    def save(self, checkpoint: Checkpoint) -> None:
        writer = TreeWriter(self._counts.next_number)
        try:
            with self._transaction():
                if self._is_unsure:
                    self._remembered = self._get_remembered()
                self._put_nodes(writer.bodies(checkpoint.roots()))
                self._put_nodes(rewritten_bodies(checkpoint.rewritten))
                counts = NodeCounts(writer.next_number, self._counts.written + writer.written, self._counts.swept)
                if counts.sweep_is_due():
                    self._sweep(checkpoint, counts)
                self._save_remembered(checkpoint)
                self._put_head(sealed(_HEAD, _encoded(_document(checkpoint, counts)).encode()))
        except BaseException:
            writer.undo()
            # After a failed commit, it is unknown if the nodes are stored. So their numbers are not used again.
            self._counts = NodeCounts(writer.next_number, self._counts.written + writer.written, self._counts.swept)
            self._is_unsure = True
            raise
        else:
            if checkpoint.saved is not None:
                checkpoint.saved.extend(writer.leaves())
                checkpoint.saved.extend(checkpoint.rewritten)
        finally:
            writer.let_go()
        self._counts = counts
        self._remembered = checkpoint.remembered
        self._is_unsure = False

    def _sweep(self, checkpoint: Checkpoint, counts: NodeCounts) -> None:
        numbers = kept_numbers(checkpoint.roots(), checkpoint.held_roots, checkpoint.held_leaves)
        self._delete_nodes(numbers.gaps(counts.next_number))
        counts.written = 0
        counts.swept = len(numbers)

    def _save_remembered(self, checkpoint: Checkpoint) -> None:
        former, present = self._remembered, checkpoint.remembered
        self._delete_values(key for key in former if key not in present)
        changed = ((key, value) for key, value in present.items() if former.get(key) != value)
        self._put_values((key, sealed(key.encode(), value)) for key, value in changed)

    def _get_remembered(self) -> dict[str, bytes]:
        return {key: unsealed(key.encode(), value) for key, value in self._get_values()}

    def _decoded(self, document: dict[str, Any], *, with_entries: bool) -> Checkpoint:
        reader = TreeReader(self._get_node, with_entries=with_entries)
        return _checkpoint(document, reader.root, self._get_remembered())


def _checkpoint(document: dict[str, Any], read_root: ReadRoot, remembered: Mapping[str, bytes]) -> Checkpoint:
    """Decode a checkpoint from the head of a catalogue."""

    def root(row: dict[str, Any]) -> FrozenRoot:
        return read_root(row["root"], row["levels"], row["size_blocks"])

    return Checkpoint(
        position=document["position"],
        pool=document["pool"],
        volumes=tuple(
            VolumeState(
                row["number"],
                row["name"],
                bytes.fromhex(row["identity"]),
                row["attributes"],
                root(row),
                bytes.fromhex(row["lineage"]),
            )
            for row in document["volumes"]
        ),
        frozen_maps=tuple(FrozenMapState(row["identifier"], row["durable"], root(row)) for row in document["frozen_maps"]),
        snapshots=tuple(_snapshot(row) for row in document["snapshots"]),
        remembered=remembered,
        segments=_segments(document["pool"].pop("segments", None)),
    )


def _encoded(value: object) -> str:
    """Encode a value as JSON. The elements of a long list are encoded one by one, because no other thread can run during one
    call of the encoder.
    """
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)}: {_encoded(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list | Iterator):
        return "[" + ", ".join(json.dumps(row) for row in value) + "]"
    return json.dumps(value)


def _segments(rows: list[list[int]] | None) -> dict[int, int] | None:
    return None if rows is None else {int(number): int(size_blocks) for number, size_blocks in rows}


def _document(checkpoint: Checkpoint, counts: NodeCounts) -> dict[str, Any]:
    segments = {} if checkpoint.segments is None else {"segments": [list(row) for row in sorted(checkpoint.segments.items())]}
    return {
        "position": dict(checkpoint.position),
        "pool": {**checkpoint.pool, **segments},
        "volumes": [
            {
                "number": volume.number,
                "name": volume.name,
                "identity": volume.identity.hex(),
                "attributes": dict(volume.attributes),
                "lineage": volume.lineage.hex(),
                **_root_row(volume.root),
            }
            for volume in checkpoint.volumes
        ],
        "frozen_maps": (
            {"identifier": frozen.identifier, "durable": frozen.durable, **_root_row(frozen.root)}
            for frozen in checkpoint.frozen_maps
        ),
        "snapshots": (_snapshot_row(snapshot) for snapshot in checkpoint.snapshots),
        "remembered": len(checkpoint.remembered),
        "nodes": {"next_number": counts.next_number, "written": counts.written, "swept": counts.swept},
    }


def _root_row(root: FrozenRoot) -> dict[str, int]:
    number = root.root.stored if root.root is not None else 0
    return {"root": number, "levels": root.levels, "size_blocks": root.size_blocks}


def _snapshot(row: dict[str, Any]) -> SnapshotState:
    values: dict[str, Any] = {**row, "holds": tuple(row["holds"])}
    values.update({name: bytes.fromhex(row[name]) for name in _BYTES_OF_A_SNAPSHOT})
    return SnapshotState(**values)


def _snapshot_row(snapshot: SnapshotState) -> dict[str, Any]:
    row = {field.name: getattr(snapshot, field.name) for field in fields(SnapshotState)}
    row.update({name: row[name].hex() for name in _BYTES_OF_A_SNAPSHOT})
    return {**row, "attributes": dict(snapshot.attributes)}
