"""A catalogue in any storage of bodies (see `stored_bodies`): how checkpoints are saved, and loaded again."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from odx_target.store.catalogue.document import PartCounts, ReadRoot, checkpoint_of, counts_of_parts, encode_document
from odx_target.store.catalogue.interface import Checkpoint
from odx_target.store.catalogue.kept_trees import TreeReader, TreeWriter, kept_numbers, rewritten_bodies, stored_leaves
from odx_target.store.catalogue.node_codec import encode_leaf, node_name, sealed, unsealed, unsealed_row
from odx_target.store.catalogue.parts import LoadedParts, SavedParts
from odx_target.store.catalogue.stored_bodies import NodeSource, StoredBodies
from odx_target.store.errors import CatalogueDamaged, PoolDamaged
from odx_target.store.map.leaf import Leaf

SWEEP_AFTER_NODES = 4096
"""Least number of new nodes between two sweeps. A *sweep* deletes the dead nodes, which are in no tree any more. A sweep visits
all nodes, which would cost too much for a few dead nodes."""

_HEAD = b"head"


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


class TransactionalCatalogue(StoredBodies):
    """The part of a catalogue that does not depend on the kind of storage: checkpoints as bodies, and the nodes to store or to
    delete.
    """

    def __init__(self) -> None:
        self._counts = NodeCounts()
        self._remembered: Mapping[str, bytes] = {}
        self._saved_parts = SavedParts()
        self._is_unsure = False

    def load(self, *, with_entries: bool = True) -> Checkpoint | None:
        data = self._get_head()
        if data is None:
            return None
        head = unsealed(_HEAD, data)
        try:
            document = json.loads(head)
            checkpoint = self._decoded(document, with_entries=with_entries)
            self._counts = NodeCounts(**document["nodes"])
            found = PartCounts(len(checkpoint.volumes), len(checkpoint.frozen_maps), len(checkpoint.snapshots))
            is_complete = counts_of_parts(document) == found
            has_all_values = len(checkpoint.remembered) == document["remembered"]
            # Older programs stored these parts in the head, so the next save must store them under keys.
            absent = [name for name in PartCounts._fields if isinstance(document[name], list)]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PoolDamaged("the head of the catalogue is not valid") from error
        if not has_all_values:
            raise PoolDamaged("the catalogue has lost remembered values")
        if not is_complete:
            raise PoolDamaged("the catalogue has lost volumes, frozen maps or snapshots")
        self._remembered = checkpoint.remembered
        self._saved_parts = SavedParts(*(() if name in absent else getattr(checkpoint, name) for name in PartCounts._fields))
        return checkpoint

    def put_leaves(self, first_number: int, leaves: Iterable[Leaf]) -> None:
        """Store leaves that belong to no checkpoint, under consecutive numbers. Raises the exceptions of `save`."""
        with self._transaction():
            self._put_nodes(
                (number, sealed(node_name(number), encode_leaf(leaf))) for number, leaf in enumerate(leaves, first_number)
            )

    def delete_nodes(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Delete all nodes whose numbers are in the ranges (first, last). Raises the exceptions of `save`."""
        with self._transaction():
            self._delete_nodes(ranges)

    def copy_leaves(self, source: "NodeSource", checkpoint: Checkpoint) -> None:
        """Copy the stored leaves of a checkpoint from another catalogue. They keep their numbers. Call this method once, before
        the first `save`.

        The leaves are copied one by one, so that a checkpoint may be larger than the memory. Raises PoolDamaged if a leaf is
        damaged, and the exceptions of `save`.
        """
        with self._transaction():
            self._put_nodes(self._copied(source, checkpoint))

    def _copied(self, source: "NodeSource", checkpoint: Checkpoint) -> Iterator[tuple[int, bytes]]:
        for number in stored_leaves(checkpoint.roots()):
            name = node_name(number)
            self._counts.next_number = max(self._counts.next_number, number + 1)
            yield number, sealed(name, unsealed(name, source.stored_node(number)))

    def stored_pool(self) -> Mapping[str, Any] | None:
        """Read the fields of the pool in the last checkpoint. Returns None if no checkpoint was saved. Raises PoolDamaged."""
        data = self._get_head()
        if data is None:
            return None
        try:
            pool: Mapping[str, Any] = dict(json.loads(unsealed(_HEAD, data))["pool"])
        except (ValueError, KeyError, TypeError) as error:
            raise PoolDamaged("the head of the catalogue is not valid") from error
        return pool

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
            parts, remembered = self._parts_left(document, read_root, complaints), self._remembered_left(complaints)
            checkpoint = _checkpoint_of(document, parts, remembered)
            lost_values = document["remembered"] - len(checkpoint.remembered)
            announced, found = counts_of_parts(document), parts.counts()
            lost = PartCounts(*(count - left for count, left in zip(announced, found, strict=True)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PoolDamaged("the head of the catalogue is not valid") from error
        if lost_values:
            complaints.append(f"{lost_values} remembered values of the catalogue are damaged or missing")
        if lost.volumes:
            complaints.append(f"{lost.volumes} volumes of the catalogue are damaged or missing")
        if lost.frozen_maps or lost.snapshots:
            complaints.append(
                f"{lost.frozen_maps} frozen maps and {lost.snapshots} snapshots of the catalogue are damaged or missing"
            )
        return checkpoint

    def _parts_left(self, document: dict[str, Any], read_root: ReadRoot, complaints: list[str]) -> LoadedParts:
        found = LoadedParts()
        found.add_document(document, read_root)
        try:
            rows = self.stored_parts()
        except CatalogueDamaged as error:
            complaints.append(str(error))
            return found
        for key, body in rows:
            with suppress(PoolDamaged, ValueError, KeyError, TypeError):
                found.add(key, body, read_root)
        found.drop_without_map()
        found.sort()
        return found

    def _remembered_left(self, complaints: list[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        try:
            rows = self.stored_values()
        except CatalogueDamaged as error:
            complaints.append(str(error))
            return found
        for key, body in rows:
            with suppress(PoolDamaged):
                found[key] = unsealed_row(key, body)
        return found

    def save(self, checkpoint: Checkpoint) -> None:
        writer = TreeWriter(self._counts.next_number)
        try:
            with self._transaction():
                if self._is_unsure:
                    self._remembered = self._get_remembered()
                    self._delete_parts(None)
                    self._saved_parts = SavedParts()
                self._put_nodes(writer.bodies(checkpoint.roots()))
                self._put_nodes(rewritten_bodies(checkpoint.rewritten))
                counts = NodeCounts(writer.next_number, self._counts.written + writer.written, self._counts.swept)
                if counts.sweep_is_due():
                    self._sweep(checkpoint, counts)
                self._save_remembered(checkpoint)
                parts = SavedParts(checkpoint.volumes, checkpoint.frozen_maps, checkpoint.snapshots)
                self._delete_parts(self._saved_parts.gone(parts))
                self._put_parts(self._saved_parts.changed(checkpoint, parts))
                self._put_head(sealed(_HEAD, encode_document(checkpoint, asdict(counts))))
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
        self._saved_parts = parts
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
        return {key: unsealed_row(key, value) for key, value in self._get_values()}

    def _decoded(self, document: dict[str, Any], *, with_entries: bool) -> Checkpoint:
        reader = TreeReader(self._get_node, with_entries=with_entries)
        parts = LoadedParts()
        parts.add_document(document, reader.root)
        for key, body in self._get_parts():
            parts.add(key, body, reader.root)
        parts.sort()
        return _checkpoint_of(document, parts, self._get_remembered())


def _checkpoint_of(document: dict[str, Any], parts: LoadedParts, remembered: Mapping[str, bytes]) -> Checkpoint:
    return checkpoint_of(document, tuple(parts.volumes), parts.frozen_maps, parts.snapshots, remembered)
