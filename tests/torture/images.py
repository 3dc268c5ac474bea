"""Images of a simulated disk: its content at one moment, which never changes.

Images of neighbouring moments share the bytes of all files that have not changed between these moments. A disk that is made of
an image shares these bytes too, until it changes them.
"""

from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from random import Random
from typing import TypeAlias

from odx_target.store.api import BLOCK_BYTES
from odx_target.store.catalogue.memory import CatalogueContent
from tests.sim.simulated_disk import SECTOR_BYTES, SimulatedDisk, _File, _put, sectors

_DIGEST_BYTES = 16

Digest: TypeAlias = bytes

Key: TypeAlias = tuple[object, ...]
"""Equal for two images that a pool cannot distinguish when it is opened."""

KEPT, LOST, TORN, REORDERED = "kept", "lost", "torn", "reordered"


@dataclass(frozen=True, eq=False)
class FileImage:
    """A file at one moment. The fields are those of `_File`. Nothing may change the bytes."""

    content: bytearray
    durable: bytearray
    writes: tuple[tuple[int, bytes], ...] = ()
    cut_blocks: int | None = None
    exists_durably: bool = True
    former: int | None = None

    @classmethod
    def of(cls, file: _File, before: "FileImage | None") -> "FileImage":
        """Make the image of a file. Returns `before`, an earlier image, if the file has not changed since."""
        if before is not None and before._is_of(file):
            return before
        content = bytearray(file.content)
        if before is not None and before.content == content:
            content = before.content
        durable = content if file.durable == content else bytearray(file.durable)
        return cls(content, durable, tuple(file.writes), file.cut_blocks, file.exists_durably, file.former)

    def _is_of(self, file: _File) -> bool:
        mine = (self.writes, self.cut_blocks, self.exists_durably, self.former)
        return (
            mine == (tuple(file.writes), file.cut_blocks, file.exists_durably, file.former)
            and self.content == file.content
            and self.durable == file.durable
        )

    @cached_property
    def digest(self) -> Digest:
        """Digest of the bytes that readers see."""
        return blake2b(self.content, digest_size=_DIGEST_BYTES).digest()

    def after_loss(self, variant: str, random: Random) -> "FileImage":
        """Return the file after a loss of power that keeps all, some or none of the pending writes and cuts."""
        if not self.writes and self.cut_blocks is None and self.durable is self.content:
            return self
        kept = bytearray(self.durable)
        for offset, data in self.writes:
            parts = sectors(offset, data, SECTOR_BYTES) if variant == TORN else [(offset, data)]
            for at, part in parts:
                if variant != LOST and random.random() < 0.5:
                    _put(kept, at, part)
        if self.cut_blocks is not None and variant != LOST and random.random() < 0.5:
            del kept[self.cut_blocks * BLOCK_BYTES :]
        return FileImage(kept, kept)

    def file(self) -> _File:
        """Return a file that shares the bytes of the image until it changes them. Everything in it is durable."""
        return _File(self.content, exists_durably=True, content=self.content, is_shared=True)


_Folder: TypeAlias = dict[int, FileImage]


@dataclass(frozen=True, eq=False)
class DiskImage:
    """A disk at one moment."""

    folder: _Folder
    capacity: _Folder
    has_capacity: bool
    catalogue: CatalogueContent
    head: bytes | None
    operations: int
    catalogue_digest: Digest

    @classmethod
    def of(cls, disk: SimulatedDisk, before: "DiskImage | None") -> "DiskImage":
        """Make the image of a disk. `before` is an earlier image of the same disk, or None."""
        catalogue, digest = disk.catalogue_content, None
        if before is not None and before.catalogue == catalogue:
            catalogue, digest = before.catalogue, before.catalogue_digest
        else:
            catalogue = catalogue.copy()
        folders = (
            {
                number: FileImage.of(file, None if before is None else former.get(number))
                for number, file in folder.files.items()
            }
            for folder, former in (
                (disk.folder, {} if before is None else before.folder),
                (disk.capacity, {} if before is None else before.capacity),
            )
        )
        return cls(*folders, disk.has_capacity, catalogue, disk.head.document, disk.operations, digest or _digest(catalogue))

    @cached_property
    def key(self) -> Key:
        files = (tuple(sorted((number, file.digest) for number, file in each.items())) for each in (self.folder, self.capacity))
        return (self.head, self.catalogue_digest, *files)

    def after(self, variant: str, random: Random) -> "DiskImage":
        """Return the disk after the process has died (`kept`), or after a loss of power."""
        if variant == KEPT:
            return self
        folders = (_after_loss(each, variant, random) for each in (self.folder, self.capacity))
        return DiskImage(*folders, self.has_capacity, self.catalogue, self.head, self.operations, self.catalogue_digest)

    def disk(self) -> SimulatedDisk:
        """Make a disk that works, with the content of the image."""
        disk = SimulatedDisk(Random(self.operations), has_capacity=self.has_capacity)
        for there, here in ((disk.folder, self.folder), (disk.capacity, self.capacity)):
            there.files = {number: image.file() for number, image in here.items()}
        content = self.catalogue
        disk.catalogue_content = CatalogueContent(content.head, content.values, content.nodes, content.parts)
        disk.head.document = self.head
        disk.operations = self.operations
        return disk

    def digest_of(self, number: int) -> Digest | None:
        """Return the digest of a segment, or None if it is in neither or in both directories."""
        images = [each[number] for each in (self.folder, self.capacity) if number in each]
        return images[0].digest if len(images) == 1 else None


def copied(disk: SimulatedDisk) -> SimulatedDisk:
    """Copy a disk and all its bytes; the copy has no hook and fails never."""
    copy = SimulatedDisk(Random(disk.operations), has_capacity=disk.has_capacity)
    for there, here in ((copy.folder, disk.folder), (copy.capacity, disk.capacity)):
        there.files = {number: deepcopy(file) for number, file in here.files.items()}
    copy.catalogue_content = disk.catalogue_content.copy()
    copy.head.document = disk.head.document
    copy.operations = disk.operations
    return copy


def _after_loss(folder: _Folder, variant: str, random: Random) -> _Folder:
    """Lose the power: lose or keep the pending writes, names and cuts of the files of a directory."""
    files = dict(folder)
    for number, image in folder.items():
        rest = files[number] = image.after_loss(variant, random)
        if not image.exists_durably and (variant == LOST or random.random() < 0.5):
            del files[number]
            if image.former is not None:
                files[image.former] = rest
    return files


def _digest(catalogue: CatalogueContent) -> Digest:
    digest = blake2b(repr(catalogue.head).encode(), digest_size=_DIGEST_BYTES)
    for bodies in (catalogue.values, catalogue.nodes, catalogue.parts):
        digest.update(repr(sorted(bodies.items())).encode())  # type: ignore[attr-defined]
    return digest.digest()
