"""Catalogues for one conformance suite: each can be opened again and again over what it kept."""

import sqlite3
from pathlib import Path
from typing import Protocol

from odx_target.store.catalogue import Catalogue
from odx_target.store.memory_catalogue import CatalogueContent, MemoryCatalogue
from odx_target.store.sqlite_catalogue import SqliteCatalogue


class Kept(Protocol):
    def open(self) -> Catalogue: ...

    def node_count(self) -> int:
        """Nodes kept, dead ones too; while no catalogue is open."""
        ...


class KeptInMemory:
    def __init__(self, path: Path) -> None:
        self.content = CatalogueContent()

    def open(self) -> Catalogue:
        return MemoryCatalogue(self.content)

    def node_count(self) -> int:
        return len(self.content.nodes)


class KeptInFile:
    def __init__(self, path: Path) -> None:
        self.path = path / "catalogue.db"

    def open(self) -> Catalogue:
        return SqliteCatalogue(self.path)

    def node_count(self) -> int:
        connection = sqlite3.connect(self.path)
        (count,) = connection.execute("SELECT count(*) FROM node").fetchone()
        connection.close()
        return int(count)
