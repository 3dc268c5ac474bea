"""Catalogues for one conformance suite: each can be opened again and again over what it kept."""

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
        """One that calls `fail` after each commit, before `save` returns."""
        ...

    def node_count(self) -> int:
        """Nodes kept, dead ones too; while no catalogue is open."""
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
    """One whose disk fails where SQLite has cut the journal off already, and only syncs the cut."""

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
