"""A simulated disk for pools, which can lose its power during any operation.

Fault model
-----------
The disk keeps segments, a catalogue and a head. *Durable* data survives everything. *Pending* data was written but is not yet
durable; readers see it.

- Writes are pending until their segment is synced. At a loss of power, each pending write is divided into sectors of 512 bytes
  or 4 KiB. Each sector is kept or lost, independently of other sectors and of the order of writes. So writes are lost, torn and
  reordered.
- A block into which bytes were added (`write_at`) may be destroyed as a whole at a loss of power, even if the bytes before them
  were durable. A disk that writes a sector must write all of it. With `syncs_at_once`, there is no such sector.
- The creation of a segment is pending until the segment is synced. A loss of power may remove the segment with all its data.
- A segment made out of a former one has that one's bytes. A loss of power before its sync may leave it under its former number.
- A cut (`seal`) is pending until the segment is synced, independently of the writes.
- A deletion is durable when it returns. An interrupted deletion has removed any part of the names.
- An interrupted sync may have made any part of the pending data durable.
- The catalogue is saved atomically, and is durable at its commit point. The head is replaced atomically, and is then durable.
- If only the process dies, no pending data is lost. But it stays pending, and a later loss of power may remove it. A running
  write may be interrupted after any whole sector.

`crash_after(n)` turns the disk off in the middle of an operation; `n` is the number of operations before that one. From then on
every operation raises `Crash`. `Crash` is not an Exception, so that no handler takes it for an error, and no `finally` can
change the disk. `power_loss` or `process_death` turns the disk on again.

With `has_capacity`, there is a second directory with segments of its own, the capacity tier. Both directories lose their names
and their writes independently. Operations of the second directory are named `capacity-write` and so on in `failing`, and
`capacity_room_blocks` limits it.

Other faults leave the machine running. Operations named in `failing` raise `error_number`, which is EIO by default. A failing
write may have written a part, a failing sync may have made a part durable, and a failing `commit` of the catalogue has kept its
data. `room_blocks` limits the total size of all segments; creating one more then raises PoolFull.
"""

import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from odx_target.environment import Buffer
from odx_target.store.api import BLOCK_BYTES, PoolFull
from odx_target.store.catalogue.memory import CatalogueContent, MemoryCatalogue
from odx_target.store.error_kinds import of_write
from odx_target.store.open import PoolParts
from odx_target.store.opening.format_head import Head, MemoryHead
from odx_target.store.segments.segment import SegmentStore
from odx_target.store.segments.tiers import TieredSegments
from tests.sim.virtual_environment import VirtualEnvironment

SECTOR_BYTES = 512

CAPACITY_DIRECTORY = "/the/second/directory"
"""Path of the capacity tier in the head."""


class Crash(BaseException):
    """The machine is off."""


@dataclass
class _File:
    durable: bytearray
    """Bytes that survive a loss of power."""
    exists_durably: bool = False
    former: int | None = None
    """Number under which the file is found after a loss of power, if it was renamed and not synced since."""
    writes: list[tuple[int, bytes]] = field(default_factory=list)
    """Pending writes in order, as (offset, data)."""
    cut_blocks: int | None = None
    """Size of a pending cut; None if there is none."""
    content: bytearray = field(default_factory=bytearray)
    """Bytes that readers see."""
    added: set[int] = field(default_factory=set)
    """Blocks into which bytes were added since the last sync, and that a loss of power may destroy."""
    had_failures: bool = False
    """True if a write has failed. Bytes that are added later may belong to a block with durable bytes, so they are spared."""
    is_shared: bool = False
    """True if others use the same bytes. They are then copied before they are changed."""
    differs_by_writes: bool = True
    """True if the content is that of the durable bytes after the pending writes and the pending cut."""

    @property
    def size_blocks(self) -> int:
        return len(self.content) // BLOCK_BYTES

    def own(self) -> None:
        """Copy the bytes if others use them."""
        if self.is_shared:
            self.durable, self.content, self.is_shared = bytearray(self.durable), bytearray(self.content), False

    def write(self, offset: int, data: bytes) -> None:
        self.own()
        _put(self.content, offset, data)
        self.writes.append((offset, data))

    def make_durable(self) -> None:
        self.own()
        if self.differs_by_writes and self.cut_blocks is None:
            for offset, data in self.writes:
                _put(self.durable, offset, data)
        else:
            self.durable, self.differs_by_writes = bytearray(self.content), True
        self.writes, self.cut_blocks, self.exists_durably, self.former = [], None, True, None
        self.added.clear()

    def lose(self, random: Random) -> None:
        """Keep or lose each part of the pending data at random."""
        self.own()
        sector_bytes = random.choice((SECTOR_BYTES, BLOCK_BYTES))
        survival = random.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        for offset, data in self.writes:
            for at, part in sectors(offset, data, sector_bytes):
                if random.random() < survival:
                    _put(self.durable, at, part)
        for block in sorted(self.added):
            if random.random() < 0.3:
                _put(self.durable, block * BLOCK_BYTES, random.randbytes(BLOCK_BYTES))
        self.added.clear()
        if self.cut_blocks is not None and random.random() < 0.5:
            del self.durable[self.cut_blocks * BLOCK_BYTES :]
        self.writes, self.cut_blocks, self.exists_durably, self.former = [], None, True, None
        self.content, self.differs_by_writes = bytearray(self.durable), True


@dataclass
class _Folder:
    """One directory with segments. `prefix` begins the names of its operations in `failing`."""

    prefix: str
    files: dict[int, _File] = field(default_factory=dict)
    room_blocks: int | None = None


def sectors(offset: int, data: bytes, sector_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Divide a write into the parts that lie in different sectors, as (offset, data)."""
    at = offset
    while at < offset + len(data):
        end = min(at - at % sector_bytes + sector_bytes, offset + len(data))
        yield at, data[at - offset : end - offset]
        at = end


def _put(content: bytearray, offset: int, data: bytes) -> None:
    if offset > len(content):
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


class SimulatedDisk:
    """The disk of one pool; `parts` returns the parts from which the pool is opened."""

    def __init__(self, random: Random, *, has_capacity: bool = False) -> None:
        self.folder = _Folder("")
        self.capacity = _Folder("capacity-")
        self.has_capacity = has_capacity
        self.catalogue_content = CatalogueContent()
        self.head = SimulatedHead(self)
        self.failing: set[str] = set()
        self.error_number = errno.EIO
        self.syncs_at_once = False
        """True if syncs run in the event loop, as in a file system in memory. But here a loss of power undoes what is not
        synced."""
        self.is_off = False
        self.operations = 0
        self._random = random
        self._until_crash: int | None = None

    def parts(self) -> PoolParts:
        catalogue = MemoryCatalogue(
            self.catalogue_content,
            before_commit=self.step_catalogue,
            after_commit=self.step_committed,
            before_read=self.step_read,
        )
        segments = SimulatedSegments(self)
        return PoolParts(self.head, segments, catalogue, lambda: None, self._add_capacity)

    def _add_capacity(self, fast: SegmentStore, _head: Head) -> tuple[SegmentStore, str]:
        if not self.has_capacity:
            return fast, ""
        return TieredSegments(fast, SimulatedSegments(self, self.capacity)), CAPACITY_DIRECTORY

    @property
    def files(self) -> "dict[int, _File]":
        """The files of the first directory."""
        return self.folder.files

    @files.setter
    def files(self, files: "dict[int, _File]") -> None:
        self.folder.files = files

    @property
    def room_blocks(self) -> int | None:
        return self.folder.room_blocks

    @room_blocks.setter
    def room_blocks(self, room_blocks: int | None) -> None:
        self.folder.room_blocks = room_blocks

    def crash_after(self, operations: int | None) -> None:
        """Turn the disk off in the middle of a future operation; 0 means the next operation, None means never."""
        self._until_crash = operations

    def power_loss(self) -> None:
        for folder in (self.folder, self.capacity):
            self._lose_power_of(folder)
        self._turn_on()

    def _lose_power_of(self, folder: "_Folder") -> None:
        for number, file in list(folder.files.items()):
            former = file.former
            is_gone = not file.exists_durably and self._random.random() < 0.5
            file.lose(self._random)
            if is_gone:
                del folder.files[number]
                if former is not None:
                    folder.files[former] = file

    def process_death(self) -> None:
        self._turn_on()

    def check_may_wait(self) -> None:
        """Fail if an operation that may wait for the disk runs on the event loop."""
        assert VirtualEnvironment.is_in_thread, "this would hold the event loop"

    def check_on(self) -> None:
        """Raise Crash if the machine is off."""
        if self.is_off:
            raise Crash

    def step(self) -> None:
        """Count an atomic operation."""
        if self.is_due():
            self._turn_off()

    def step_catalogue(self) -> None:
        if "save" in self.failing:
            raise of_write("saving the catalogue", OSError(self.error_number, "the simulated disk fails"))
        self.step()

    def step_committed(self) -> None:
        """End a save, which may fail although everything was kept."""
        if "commit" in self.failing:
            raise of_write("saving the catalogue", OSError(self.error_number, "the simulated disk fails"))
        self.step()

    def step_read(self) -> None:
        """Begin a read of leaves from the catalogue."""
        self.check_may_wait()
        if "load" in self.failing:
            raise of_write("reading the catalogue", OSError(self.error_number, "the simulated disk fails"))
        self.step()

    def is_due(self) -> bool:
        """Count an operation; True if the machine turns off in the middle of it."""
        self.check_on()
        self.operations += 1
        if self._until_crash is None:
            return False
        self._until_crash -= 1
        return self._until_crash < 0

    def write(self, folder: "_Folder", file: _File, offset: int, data: bytes) -> None:
        if self.is_due():
            self._write_part(file, offset, data)
            self._turn_off()
        if folder.prefix + "write" in self.failing:
            self._write_part(file, offset, data)
            self.fail_if_asked(folder.prefix + "write")
        file.write(offset, data)

    def sync(self, folder: "_Folder", file: _File) -> None:
        if self.is_due():
            self._turn_off()  # Everything stays pending, and any part of it may be lost.
        self.fail_if_asked(folder.prefix + "sync")
        file.make_durable()

    def recycle(self, folder: "_Folder", former: int, number: int, size_blocks: int) -> None:
        due = self.is_due()
        files = folder.files
        file = files.pop(former)
        self.fail_if_asked(folder.prefix + "recycle")
        if due and self._random.random() < 0.5:
            files[former] = file
            self._turn_off()
        file.own()
        for content in (file.durable, file.content):
            content.extend(bytes(size_blocks * BLOCK_BYTES - len(content)))
        known_as = file.former or former if file.exists_durably or file.former else None
        is_same = file.differs_by_writes and not file.writes and file.cut_blocks is None
        files[number] = _File(file.durable, former=known_as, content=file.content, differs_by_writes=is_same)
        if due:
            self._turn_off()

    def delete(self, folder: "_Folder", numbers: Sequence[int]) -> None:
        due = self.is_due()
        self.fail_if_asked(folder.prefix + "delete")
        for number in numbers:
            if not due or self._random.random() < 0.5:
                folder.files.pop(number, None)
        if due:
            self._turn_off()

    def fail_if_asked(self, operation: str) -> None:
        if operation in self.failing:
            raise OSError(self.error_number, f"the simulated disk fails to {operation}")

    def _write_part(self, file: _File, offset: int, data: bytes) -> None:
        file.had_failures = True
        if len(data) < SECTOR_BYTES:
            file.write(offset, data[: self._random.randint(0, len(data))])
            return
        sectors = self._random.randint(0, len(data) // SECTOR_BYTES)
        file.write(offset, data[: sectors * SECTOR_BYTES])

    def _turn_off(self) -> None:
        self.is_off = True
        raise Crash

    def _turn_on(self) -> None:
        self.is_off = False
        self._until_crash = None
        self.failing.clear()


class SimulatedHead(MemoryHead):
    """The head of a pool. The power may be lost before or after the head is replaced."""

    def __init__(self, disk: SimulatedDisk) -> None:
        super().__init__()
        self._disk = disk

    def replace(self, expected: bytes | None, document: bytes) -> None:
        self._disk.check_may_wait()
        self._disk.step()
        self._disk.fail_if_asked("head")
        super().replace(expected, document)
        self._disk.step()


class SimulatedSegment:
    def __init__(self, disk: SimulatedDisk, folder: _Folder, number: int) -> None:
        self.number = number
        self._disk = disk
        self._folder = folder

    def write(self, block: int, buffers: Sequence[Buffer]) -> None:
        self._disk.write(self._folder, self._file(), block * BLOCK_BYTES, b"".join(buffers))

    def write_at(self, offset_bytes: int, buffers: Sequence[Buffer]) -> None:
        file = self._file()
        if not file.had_failures and not self._disk.syncs_at_once:
            file.added.add(offset_bytes // BLOCK_BYTES)
        self._disk.write(self._folder, file, offset_bytes, b"".join(buffers))

    def read_now(self, block: int, count_blocks: int) -> bytearray | None:
        self._disk.check_on()
        file = self._folder.files.get(self.number)
        if file is None or block + count_blocks > file.size_blocks:
            return None
        # Some reads act as if the page cache did not have the data.
        if self._disk.operations % 3 == 0 or self._folder.prefix + "read" in self._disk.failing:
            return None
        return file.content[block * BLOCK_BYTES : (block + count_blocks) * BLOCK_BYTES]

    def read(self, block: int, count_blocks: int) -> bytearray:
        self._disk.check_may_wait()
        self._disk.step()
        self._disk.fail_if_asked(self._folder.prefix + "read")
        file = self._file()
        if block + count_blocks > file.size_blocks:
            raise OSError(errno.ENODATA, "beyond the end")
        return file.content[block * BLOCK_BYTES : (block + count_blocks) * BLOCK_BYTES]

    def sync(self) -> None:
        if not self._disk.syncs_at_once:
            self._disk.check_may_wait()
        self._disk.sync(self._folder, self._file())

    def seal(self, size_blocks: int) -> None:
        self._disk.check_may_wait()
        self._disk.step()
        self._disk.fail_if_asked(self._folder.prefix + "seal")
        file = self._file()
        file.own()
        file.cut_blocks = size_blocks
        del file.content[size_blocks * BLOCK_BYTES :]

    def _file(self) -> _File:
        try:
            return self._folder.files[self.number]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, f"segment {self.number}") from None


class SimulatedSegments:
    def __init__(self, disk: SimulatedDisk, folder: _Folder | None = None) -> None:
        self._disk = disk
        self._folder = disk.folder if folder is None else folder

    @property
    def syncs_at_once(self) -> bool:
        return self._disk.syncs_at_once

    def names(self) -> dict[int, int]:
        self._disk.step()
        return {number: file.size_blocks for number, file in self._folder.files.items()}

    def room_blocks(self) -> int | None:
        self._disk.check_may_wait()
        if self._folder.room_blocks is None:
            return None
        return self._folder.room_blocks - sum(file.size_blocks for file in self._folder.files.values())

    def watch(self, before: object) -> None:
        raise NotImplementedError("the simulated disk has faults of its own")

    def describe(self, number: int) -> str:
        return f"segment {number} of the simulated disk"

    def create(self, number: int, size_blocks: int) -> SimulatedSegment:
        self._disk.check_may_wait()
        self._disk.step()
        self._disk.fail_if_asked(self._folder.prefix + "create")
        if number in self._folder.files:
            raise FileExistsError(errno.EEXIST, self.describe(number))
        room_blocks = self._folder.room_blocks
        if room_blocks is not None and sum(self.names().values()) + size_blocks > room_blocks:
            raise PoolFull("the simulated disk is full")
        size_bytes = size_blocks * BLOCK_BYTES
        self._folder.files[number] = _File(bytearray(size_bytes), content=bytearray(size_bytes))
        return SimulatedSegment(self._disk, self._folder, number)

    def reserve(self, number: int, size_blocks: int) -> None:
        """Do nothing, because `create` reserves all room."""

    def recycle(self, former: int, number: int, size_blocks: int) -> SimulatedSegment:
        self._disk.check_may_wait()
        if former not in self._folder.files:
            raise FileNotFoundError(errno.ENOENT, self.describe(former))
        if number in self._folder.files:
            raise FileExistsError(errno.EEXIST, self.describe(number))
        room_blocks = self._folder.room_blocks
        growth_blocks = size_blocks - self._folder.files[former].size_blocks
        if room_blocks is not None and sum(self.names().values()) + growth_blocks > room_blocks:
            raise PoolFull("the simulated disk is full")
        self._disk.recycle(self._folder, former, number, size_blocks)
        return SimulatedSegment(self._disk, self._folder, number)

    def open(self, number: int) -> SimulatedSegment:
        self._disk.check_may_wait()
        self._disk.step()
        if number not in self._folder.files:
            raise FileNotFoundError(errno.ENOENT, self.describe(number))
        return SimulatedSegment(self._disk, self._folder, number)

    def delete(self, numbers: Sequence[int]) -> None:
        self._disk.check_may_wait()
        self._disk.delete(self._folder, numbers)

    def close(self) -> None:
        pass
