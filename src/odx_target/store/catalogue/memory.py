"""A catalogue in memory, for tests and for simulations of a loss of power."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from odx_target.store.catalogue.transactional import TransactionalCatalogue
from odx_target.store.errors import StoreError


@dataclass
class CatalogueContent:
    """The content of a MemoryCatalogue: a saved checkpoint. Another MemoryCatalogue that gets this object can load the
    checkpoint.
    """

    head: bytes | None = None
    values: dict[str, bytes] = field(default_factory=dict)
    nodes: dict[int, bytes] = field(default_factory=dict)
    parts: dict[str, bytes] = field(default_factory=dict)

    def copy(self) -> "CatalogueContent":
        return CatalogueContent(self.head, dict(self.values), dict(self.nodes), dict(self.parts))


class MemoryCatalogue(TransactionalCatalogue):
    """A catalogue that stores encoded bodies in `content`. `content` stays usable after the catalogue is closed.

    A save calls `before_commit` just before it changes `content`, and `after_commit` just after the change. In a test, these
    functions may raise an exception that simulates a loss of power or a failed disk. After such an exception, `content` has
    either the former or the new checkpoint. `before_read` is called before leaves are read. `before_read` may raise a
    StoreError, which becomes the result for these leaves.
    """

    def __init__(
        self,
        content: CatalogueContent | None = None,
        *,
        before_commit: Callable[[], None] | None = None,
        after_commit: Callable[[], None] | None = None,
        before_read: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self.content = content if content is not None else CatalogueContent()
        self.before_commit = before_commit
        self.after_commit = after_commit
        self.before_read = before_read
        self._open = self.content

    def leaf_bodies(self, numbers: Sequence[int]) -> list[bytes | StoreError]:
        try:
            if self.before_read is not None:
                self.before_read()
        except StoreError as error:
            return [error for _ in numbers]
        return super().leaf_bodies(numbers)

    def close(self) -> None:
        pass

    def _transaction(self) -> AbstractContextManager[None]:
        return self._changing()

    @contextmanager
    def _changing(self) -> Iterator[None]:
        self._open = self.content.copy()
        yield
        if self.before_commit is not None:
            self.before_commit()
        self.content.head, self.content.values, self.content.nodes = self._open.head, self._open.values, self._open.nodes
        self.content.parts = self._open.parts
        if self.after_commit is not None:
            self.after_commit()

    def _get_head(self) -> bytes | None:
        return self.content.head

    def _put_head(self, body: bytes) -> None:
        self._open.head = body

    def _get_values(self) -> Iterable[tuple[str, bytes]]:
        return self.content.values.items()

    def _put_values(self, values: Iterable[tuple[str, bytes]]) -> None:
        self._open.values.update(values)

    def _delete_values(self, keys: Iterable[str]) -> None:
        for key in keys:
            del self._open.values[key]

    def _get_parts(self) -> Iterable[tuple[str, bytes]]:
        return self.content.parts.items()

    def _put_parts(self, parts: Iterable[tuple[str, bytes]]) -> None:
        self._open.parts.update(parts)

    def _delete_parts(self, keys: Iterable[str] | None) -> None:
        for key in list(self._open.parts) if keys is None else keys:
            del self._open.parts[key]

    def _get_node(self, number: int) -> bytes | None:
        return self.content.nodes.get(number)

    def _put_nodes(self, nodes: Iterator[tuple[int, bytes]]) -> None:
        self._open.nodes.update(nodes)

    def _delete_nodes(self, ranges: Iterable[tuple[int, int]]) -> None:
        for first, last in ranges:
            for number in range(first, last + 1):
                self._open.nodes.pop(number, None)
