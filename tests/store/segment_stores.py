"""Segment stores for a conformance suite. Each store can be opened again on the same stored data."""

from pathlib import Path
from random import Random
from typing import Protocol

from tests.sim.simulated_disk import SimulatedDisk, SimulatedSegments

from odx_target.store.segments.directory import DirectorySegments
from odx_target.store.segments.memory import MemorySegments
from odx_target.store.segments.segment import SegmentStore
from odx_target.store.segments.tiers import TieredSegments


class KeptSegments(Protocol):
    def open(self) -> SegmentStore: ...


class InMemory:
    def __init__(self, path: Path) -> None:
        self.store = MemorySegments()

    def open(self) -> SegmentStore:
        return self.store


class InDirectory:
    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> SegmentStore:
        return DirectorySegments(self.path)


class InDirectoryThatAlwaysWaits(InDirectory):
    """A directory on a file system that cannot read without waiting."""

    def open(self) -> SegmentStore:
        store = DirectorySegments(self.path)
        store.waits_always, store.read_flags = True, 0
        return store


class InDirectoryOneAtATime(InDirectory):
    """A directory store that may keep only one descriptor open."""

    def open(self) -> SegmentStore:
        return DirectorySegments(self.path, max_held=1)


class OnSimulatedDisk:
    def __init__(self, path: Path) -> None:
        self.disk = SimulatedDisk(Random(1))

    def open(self) -> SegmentStore:
        return SimulatedSegments(self.disk)


class InTwoDirectories(InDirectory):
    """The store of both tiers of a pool."""

    def open(self) -> SegmentStore:
        fast, capacity = self.path / "fast", self.path / "capacity"
        for directory in (fast, capacity):
            directory.mkdir(exist_ok=True)
        return TieredSegments(DirectorySegments(fast), DirectorySegments(capacity))


KINDS = [InMemory, InDirectory, InDirectoryThatAlwaysWaits, InDirectoryOneAtATime, OnSimulatedDisk, InTwoDirectories]
