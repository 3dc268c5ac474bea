"""A storage of the bodies of a catalogue: byte strings under names, many of which can be changed in one transaction.

There are four kinds of bodies: one head, which is a JSON document; one value for each remembered key; one part for each volume,
each frozen map and each snapshot; and numbered nodes.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from odx_target.store.catalogue.interface import Found
from odx_target.store.catalogue.node_codec import decode_leaf, node_name, unsealed
from odx_target.store.errors import PoolDamaged, StoreError


class NodeSource(Protocol):
    """A storage of nodes, such as a catalogue."""

    def stored_node(self, number: int) -> bytes | None:
        """Read the sealed body of a node. Returns None if there is no such node. Raises CatalogueDamaged if the body cannot be
        read.
        """
        ...


class StoredBodies(ABC):
    """A storage of bodies. Subclasses implement the methods that begin with an underscore, for one kind of storage."""

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

    def stored_node(self, number: int) -> bytes | None:
        """Read the sealed body of a node. Returns None if there is no such node. Raises CatalogueDamaged if the body cannot be
        read.
        """
        return self._get_node(number)

    def stored_values(self) -> list[tuple[str, bytes]]:
        """Read the sealed bodies of all remembered values. Raises CatalogueDamaged if they cannot be read."""
        return list(self._get_values())

    def stored_parts(self) -> list[tuple[str, bytes]]:
        """Read the sealed bodies of all volumes, frozen maps and snapshots. Raises CatalogueDamaged if they cannot be read."""
        return list(self._get_parts())

    def leaf_entries(self, numbers: Sequence[int]) -> list[Found]:
        return [entries_of_body(body) for body in self.leaf_bodies(numbers)]

    def leaf_bodies(self, numbers: Sequence[int]) -> list[bytes | StoreError]:
        return [self._leaf_body(number) for number in numbers]

    def _leaf_body(self, number: int) -> bytes | StoreError:
        try:
            return checked_body(number, self._get_node(number))
        except StoreError as error:
            return error


def checked_body(number: int, data: object) -> bytes | PoolDamaged:
    """Check the seal of a stored node. Returns its body, or an exception if the seal does not match."""
    try:
        return unsealed(node_name(number), data)
    except PoolDamaged as error:
        return error


def entries_of_body(body: bytes | StoreError) -> Found:
    """Decode the body of a leaf. Returns an exception if it is not valid, or could not be read."""
    if isinstance(body, StoreError):
        return body
    try:
        return decode_leaf(body)
    except PoolDamaged as error:
        return error
