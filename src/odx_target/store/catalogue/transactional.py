"""A catalogue in any storage that stores bodies (byte strings) under names, and can change many bodies in one transaction."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from odx_target.store.catalogue.document import PartCounts, ReadRoot, checkpoint_of, counts_of_parts, encode_document
from odx_target.store.catalogue.interface import Checkpoint, Found
from odx_target.store.catalogue.kept_trees import TreeReader, TreeWriter, kept_numbers, rewritten_bodies, stored_leaves
from odx_target.store.catalogue.node_codec import decode_leaf, encode_leaf, node_name, sealed, unsealed, unsealed_row
from odx_target.store.catalogue.parts import LoadedParts, SavedParts
from odx_target.store.errors import CatalogueDamaged, PoolDamaged, StoreError
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


class NodeSource(Protocol):
    """A storage of nodes, such as a catalogue."""

    def stored_node(self, number: int) -> bytes | None:
        """Read the sealed body of a node. Returns None if there is no such node. Raises CatalogueDamaged if the body cannot be
        read.
        """
        ...


class TransactionalCatalogue(ABC):
    """The part of a catalogue that does not depend on the kind of storage.

    A catalogue stores four kinds of bodies: one head, which is a JSON document; one value for each remembered key; one part for
    each volume, each frozen map and each snapshot; and numbered nodes.
    """

    def __init__(self) -> None:
        self._counts = NodeCounts()
        self._remembered: Mapping[str, bytes] = {}
        self._saved_parts = SavedParts()
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
    def _get_parts(self) -> Iterable[tuple[str, bytes]]: ...

    @abstractmethod
    def _put_parts(self, parts: Iterable[tuple[str, bytes]]) -> None: ...

    @abstractmethod
    def _delete_parts(self, keys: Iterable[str] | None) -> None:
        """Delete the parts with these keys. None means all parts."""

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

    def stored_node(self, number: int) -> bytes | None:
        """Read the sealed body of a node. Returns None if there is no such node. Raises CatalogueDamaged if the body cannot be
        read.
        """
        return self._get_node(number)

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

    def stored_values(self) -> list[tuple[str, bytes]]:
        """Read the sealed bodies of all remembered values. Raises CatalogueDamaged if they cannot be read."""
        return list(self._get_values())

    def stored_parts(self) -> list[tuple[str, bytes]]:
        """Read the sealed bodies of all volumes, frozen maps and snapshots. Raises CatalogueDamaged if they cannot be read."""
        return list(self._get_parts())

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

    def leaf_entries(self, numbers: Sequence[int]) -> list[Found]:
        return [_entries(body) for body in self.leaf_bodies(numbers)]

    def leaf_bodies(self, numbers: Sequence[int]) -> list[bytes | StoreError]:
        return [self._leaf_body(number) for number in numbers]

    def _leaf_body(self, number: int) -> bytes | StoreError:
        try:
            return checked_body(number, self._get_node(number))
        except StoreError as error:
            return error

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


def checked_body(number: int, data: object) -> bytes | PoolDamaged:
    """Check the seal of a stored node. Returns its body, or an exception if the seal does not match."""
    try:
        return unsealed(node_name(number), data)
    except PoolDamaged as error:
        return error


def _entries(body: bytes | StoreError) -> Found:
    if isinstance(body, StoreError):
        return body
    try:
        return decode_leaf(body)
    except PoolDamaged as error:
        return error


def _checkpoint_of(document: dict[str, Any], parts: LoadedParts, remembered: Mapping[str, bytes]) -> Checkpoint:
    return checkpoint_of(document, tuple(parts.volumes), parts.frozen_maps, parts.snapshots, remembered)
