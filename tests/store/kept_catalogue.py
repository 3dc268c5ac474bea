"""Catalogues for a conformance suite. Each catalogue can be opened repeatedly on the same stored data."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from odx_target.store.catalogue.interface import Catalogue
from odx_target.store.catalogue.memory import CatalogueContent, MemoryCatalogue
from odx_target.store.catalogue.sqlite import SqliteCatalogue


class Kept(Protocol):
    def open(self) -> Catalogue: ...

    def open_failing(self, fail: Callable[[], None]) -> Catalogue:
        """Open a catalogue that calls `fail` after each commit, before `save` returns."""
        ...

    def node_count(self) -> int:
        """Number of stored nodes, including dead nodes. No catalogue may be open."""
        ...


class KeptInMemory:
    def __init__(self, path: Path) -> None:
        self.content = CatalogueContent()

    def open(self) -> Catalogue:
        return MemoryCatalogue(self.content)

    def open_failing(self, fail: Callable[[], None]) -> Catalogue:
        return MemoryCatalogue(self.content, after_commit=fail)

    def node_count(self) -> int:
        return len(self.content.nodes)


class FailingSqliteCatalogue(SqliteCatalogue):
    """A catalogue whose disk fails when SQLite syncs the journal after its truncation."""

    def __init__(self, path: Path, fail: Callable[[], None]) -> None:
        self._fail = _nothing
        super().__init__(path)
        self._fail = fail

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with super()._changing():
            yield
        self._fail()


def _nothing() -> None:
    pass


class KeptInFile:
    def __init__(self, path: Path) -> None:
        self.path = path / "catalogue.db"

    def open(self) -> Catalogue:
        return SqliteCatalogue(self.path)

    def open_failing(self, fail: Callable[[], None]) -> Catalogue:
        return FailingSqliteCatalogue(self.path, fail)

    def node_count(self) -> int:
        connection = sqlite3.connect(self.path)
        (count,) = connection.execute("SELECT count(*) FROM node").fetchone()
        connection.close()
        return int(count)
