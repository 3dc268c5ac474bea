"""A catalogue in one SQLite file in the directory of the pool."""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any

from odx_target.store.catalogue.document import ReadRoot
from odx_target.store.catalogue.interface import Checkpoint
from odx_target.store.catalogue.stored_bodies import checked_body
from odx_target.store.catalogue.transactional import TransactionalCatalogue
from odx_target.store.error_kinds import of_write, reason
from odx_target.store.errors import (
    CatalogueDamaged,
    OutOfResources,
    PoolDamaged,
    PoolFull,
    PoolInUse,
    Refused,
    StoreError,
    Unwritable,
)

APPLICATION_ID = 0x4F445843
"""Application identifier in the header of the database: the characters 'ODXC'. It marks the database as a catalogue."""

FORMAT = 2

PART_TABLE = "CREATE TABLE IF NOT EXISTS part (key TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID"
"""Statement that makes the table of parts (see `parts`). If an older program has made the catalogue, the next save makes this
table."""

SCHEMA = (
    "CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), body BLOB NOT NULL)",
    "CREATE TABLE value (key TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID",
    PART_TABLE,
    "CREATE TABLE node (number INTEGER PRIMARY KEY, body BLOB NOT NULL)",
    "INSERT INTO head VALUES (1, x'')",  # An empty body means that there is no checkpoint yet; a missing row means damage.
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {FORMAT}",
)

SETTINGS = (
    "PRAGMA page_size = 16384",  # Three dense leaves fit into a page; with 4 KiB pages a leaf would need overflow pages.
    "PRAGMA locking_mode = EXCLUSIVE",  # The pool has one owner, so transactions need not lock and unlock the file.
    "PRAGMA journal_mode = TRUNCATE",  # A save writes mostly new pages, which a write-ahead log would write twice.
    "PRAGMA synchronous = FULL",  # With TRUNCATE, SQLite then also syncs the truncation, so that the commit is durable.
    "PRAGMA cell_size_check = ON",  # SQLite then reports a damaged page when it reads the page.
)

_IN_USE = (PoolInUse, "another process holds the catalogue")
_NOT_NOW = (OutOfResources, "cannot use the catalogue now")
_UNUSABLE = (Unwritable, "cannot use the catalogue")
_REFUSED = (Refused, "may not use the catalogue")
_DAMAGED = (CatalogueDamaged, "the catalogue is damaged")

EXPLANATIONS: dict[int, tuple[type[StoreError], str]] = {
    sqlite3.SQLITE_FULL: (PoolFull, "no room for the catalogue"),
    sqlite3.SQLITE_BUSY: _IN_USE,
    sqlite3.SQLITE_LOCKED: _IN_USE,
    sqlite3.SQLITE_NOMEM: _NOT_NOW,
    sqlite3.SQLITE_IOERR_NOMEM: _NOT_NOW,
    sqlite3.SQLITE_IOERR: _UNUSABLE,
    sqlite3.SQLITE_PERM: _REFUSED,
    sqlite3.SQLITE_READONLY: _REFUSED,
}
"""Exception and message for result codes of SQLite. The extended code of an error is looked up first, then its primary code.

A code that is not listed means that the file is damaged. If a save fails, the pool still accepts writes, because the log
contains all changes since the last saved checkpoint. SQLITE_CANTOPEN is not listed, because `_of_opening` calls open(2) again
to find the cause."""

_PRIMARY_CODE = 0xFF

ROWS_AT_ONCE = 16
"""Number of rows that a save changes at once. Between two such changes, other threads may use the connection to read leaves."""

NODES_AT_ONCE = 64
"""Largest number of nodes that are read at once. Between two such reads, other threads may use the connection."""

MAX_GAP = 8
"""Nodes are read at once if less than this number of other nodes, which are read in vain, lie between two of them."""

CATALOGUE_MODE = 0o600
OTHERS = 0o077


class SqliteCatalogue(TransactionalCatalogue):
    """A catalogue in the SQLite file at `path`. If the file does not exist, it is made.

    One thread may save a checkpoint while other threads read leaves. All threads share one connection, because the connection
    locks the file against all other connections. A save takes the connection only for short times, so that threads that read do
    not wait long.

    Raises PoolDamaged if the file is not a catalogue or has a newer format. Raises PoolInUse if another process has locked the
    file. Raises Scarcity, Refused or Unwritable if the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._lock = Lock()
        self._is_closed = False
        _make_private(path)
        with self._errors_explained():
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
        self._connection.text_factory = _decoded
        try:
            with self._errors_explained():
                self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            self._connection.close()

    def load(self, *, with_entries: bool = True) -> Checkpoint | None:
        with self._errors_explained():
            return super().load(with_entries=with_entries)

    def leaf_bodies(self, numbers: Sequence[int]) -> list[bytes | StoreError]:
        rows: dict[int, object] = {}
        for first, last in ranges_of(numbers):
            with suppress(sqlite3.Error, MemoryError):  # Below, the leaves are read one by one, so that only some of them fail.
                rows.update(self._execute("SELECT number, body FROM node WHERE number BETWEEN ? AND ?", (first, last)))
        return [checked_body(number, rows[number]) if number in rows else self._leaf_body(number) for number in numbers]

    def _leaf_body(self, number: int) -> bytes | StoreError:
        try:
            with self._errors_explained():
                return super()._leaf_body(number)
        except StoreError as error:
            # A read may still wait for leaves when the pool is closed.
            return OutOfResources("the pool is closed") if self._is_closed else error

    def stored_node(self, number: int) -> bytes | None:
        with self._errors_explained():
            return super().stored_node(number)

    def stored_pool(self) -> Mapping[str, Any] | None:
        with self._errors_explained():
            return super().stored_pool()

    def stored_values(self) -> list[tuple[str, bytes]]:
        with self._errors_explained():
            return super().stored_values()

    def stored_parts(self) -> list[tuple[str, bytes]]:
        with self._errors_explained():
            return super().stored_parts()

    def load_remains(self, read_root: ReadRoot, complaints: list[str]) -> Checkpoint | None:
        with self._errors_explained():
            return super().load_remains(read_root, complaints)

    def _prepare(self) -> None:
        execute = self._connection.execute
        for setting in SETTINGS:
            execute(setting)
        execute("BEGIN EXCLUSIVE")  # SQLite takes the lock on the file now, and then keeps it.
        execute("COMMIT")
        (application_id,) = execute("PRAGMA application_id").fetchone()
        (version,) = execute("PRAGMA user_version").fetchone()
        (tables,) = execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not (application_id or version or tables):
            with self._transaction():
                for statement in SCHEMA:
                    execute(statement)
        elif application_id != APPLICATION_ID:
            raise CatalogueDamaged(f"{self._path} is not the catalogue of a pool")
        elif version != FORMAT:
            age = "a newer" if version > FORMAT else "an older"
            raise PoolDamaged(f"{self._path} is of {age} format ({version}; this program knows {FORMAT})")

    def _transaction(self) -> AbstractContextManager[None]:
        return self._changing()

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._errors_explained():
            self._execute("BEGIN EXCLUSIVE")
            try:
                self._change(PART_TABLE)
                yield
                self._change("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._execute("ROLLBACK")
                raise

    @contextmanager
    def _errors_explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _explained(error, self._path) from error
        except MemoryError as error:
            raise OutOfResources(f"{_NOT_NOW[1]}: {self._path}: out of memory") from error

    def _get_head(self) -> bytes | None:
        rows = self._execute("SELECT body FROM head")
        if not rows:
            raise PoolDamaged(f"{self._path} has lost its head")
        body: bytes | None = rows[0][0] or None
        return body

    def _put_head(self, body: bytes) -> None:
        self._change("REPLACE INTO head VALUES (1, ?)", (body,))

    def _get_values(self) -> Iterable[tuple[str, bytes]]:
        return self._execute("SELECT key, body FROM value ORDER BY key")

    def _put_values(self, values: Iterable[tuple[str, bytes]]) -> None:
        self._execute_many("REPLACE INTO value VALUES (?, ?)", values)

    def _delete_values(self, keys: Iterable[str]) -> None:
        self._execute_many("DELETE FROM value WHERE key = ?", ((key,) for key in keys))

    def _get_parts(self) -> Iterable[tuple[str, bytes]]:
        if not self._execute("SELECT name FROM sqlite_master WHERE name = 'part'"):
            return []
        return self._execute("SELECT key, body FROM part ORDER BY key")

    def _put_parts(self, parts: Iterable[tuple[str, bytes]]) -> None:
        self._execute_many("REPLACE INTO part VALUES (?, ?)", parts)

    def _delete_parts(self, keys: Iterable[str] | None) -> None:
        if keys is None:
            self._change("DELETE FROM part")
        else:
            self._execute_many("DELETE FROM part WHERE key = ?", ((key,) for key in keys))

    def _get_node(self, number: int) -> bytes | None:
        rows = self._execute("SELECT body FROM node WHERE number = ?", (number,))
        return rows[0][0] if rows else None

    def _put_nodes(self, nodes: Iterator[tuple[int, bytes]]) -> None:
        self._execute_many("REPLACE INTO node VALUES (?, ?)", nodes)

    def _delete_nodes(self, ranges: Iterable[tuple[int, int]]) -> None:
        self._execute_many("DELETE FROM node WHERE number BETWEEN ? AND ?", ranges)

    def _execute(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    def _execute_many(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        rows = iter(rows)
        while some := list(islice(rows, ROWS_AT_ONCE)):
            with self._lock:
                self._require_transaction()
                self._connection.executemany(statement, some)

    def _change(self, statement: str, values: Sequence[object] = ()) -> None:
        with self._lock:
            self._require_transaction()
            self._connection.execute(statement, values)

    def _require_transaction(self) -> None:
        """Raise OutOfResources if the transaction of the running save has ended too early.

        If a read fails because of a lack of memory or an error of the disk, SQLite rolls back the transaction of the shared
        connection.
        """
        if not self._connection.in_transaction:
            raise OutOfResources(f"{_NOT_NOW[1]}: {self._path}: a failed read has ended the save")


def ranges_of(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Divide the numbers of nodes into ranges (first, last) whose nodes are read at once."""
    first = last = None
    for number in sorted(numbers):
        if first is None or last is None:
            first = number
        elif number - last > MAX_GAP or number - first >= NODES_AT_ONCE:
            yield first, last
            first = number
        last = number
    if first is not None and last is not None:
        yield first, last


def _decoded(text: bytes) -> str:
    """Decode a text of the database. A text that is not valid UTF-8 raises no exception, so that all other rows can be read.
    The seal of its row shows the damage, because the seal covers the key.
    """
    return text.decode(errors="replace")


def _explained(error: sqlite3.Error, path: Path) -> StoreError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    if code & _PRIMARY_CODE == sqlite3.SQLITE_CANTOPEN:
        return _of_opening(error, path)
    failure, words = EXPLANATIONS.get(code) or EXPLANATIONS.get(code & _PRIMARY_CODE, _DAMAGED)
    return failure(f"{words}: {path}: {error}")


def _of_opening(error: sqlite3.Error, path: Path) -> StoreError:
    """Make the exception for a catalogue whose file or directory could not be opened."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError as cause:
        return type(of_write("", cause))(f"{_UNUSABLE[1]}: {path}: {reason(cause)}")
    return OutOfResources(f"{_NOT_NOW[1]}: {path}: {error}")


def _make_private(path: Path) -> None:
    """Allow access only for the owner of the file, because the file contains tokens and their secret. SQLite gives its journal
    the same mode as the file.

    Errors are ignored here, because SQLite reports them when it opens the file.
    """
    with suppress(OSError):
        path.touch(CATALOGUE_MODE)
        if path.is_file() and path.stat().st_mode & OTHERS:
            path.chmod(CATALOGUE_MODE)
