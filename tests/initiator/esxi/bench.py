"""Two naive disks and a host with a virtual clock. The destination disk is full of old content before a copy."""

import random
from dataclasses import dataclass, field
from typing import Any

import trio

from odx_target.initiator.esxi.data_mover import CopyReport
from odx_target.initiator.esxi.disk import EsxiDisk, Place
from odx_target.initiator.esxi.enumeration import start
from odx_target.initiator.esxi.host import Entry, EsxiHost, Exchange, Runtime, Work
from odx_target.initiator.esxi.rules import Rule
from odx_target.initiator.esxi.settings import KIB, MIB, EsxiSettings
from odx_target.initiator.esxi.virtual_disk_copy import VirtualDiskCopy
from odx_target.initiator.result import Executor
from odx_target.initiator.session.together import run_beside, run_to_its_end, run_together
from tests.initiator.esxi.naive_disk import NaiveEsxiDisk

RUNTIME = Runtime(trio.current_time, trio.sleep, run_together, run_beside, run_to_its_end)
SMALL = {"piece_bytes": 64 * KIB, "transfer_bytes": 16 * KIB, "io_bytes": 4 * KIB, "zero_bytes": 16 * KIB}
"""Settings for copies of many pieces that need little memory."""
ROOM_BYTES = 64 * KIB
"""Size of the part of each disk that belongs to no virtual disk."""
SOURCE_NAME, DESTINATION_NAME = bytes.fromhex("6001405000000001"), bytes.fromhex("6001405000000002")


@dataclass
class Bench:
    """A host, a naive source and a naive destination, with virtual disks of `size_bytes` bytes at different blocks."""

    size_bytes: int = 64 * MIB
    settings: EsxiSettings = field(default_factory=EsxiSettings)
    block_bytes: int = 512
    destination_block_bytes: int | None = None
    written_bytes: int | None = None
    has_locks: bool = True
    entries: list[Entry] = field(default_factory=list)

    def __post_init__(self) -> None:
        array: dict[bytes, NaiveEsxiDisk] = {}
        total = self.size_bytes + ROOM_BYTES
        fresh = random.Random(1).randbytes(1 * MIB)
        content = bytearray((fresh * (total // len(fresh) + 1))[:total])
        for at in range(0, total, 64 * KIB):
            content[at : at + 8] = at.to_bytes(8, "big")
        self.source = NaiveEsxiDisk(content, SOURCE_NAME, array, self.block_bytes)
        self.destination = NaiveEsxiDisk(
            bytearray(b"\x11" * total), DESTINATION_NAME, array, self.destination_block_bytes or self.block_bytes
        )
        self.host = EsxiHost(RUNTIME, self.settings, self.entries.append)
        self.disks: list[EsxiDisk] = []
        self.report = CopyReport()

    async def start(self) -> "Bench":
        self.disks = [EsxiDisk(self.host, name, disk) for name, disk in self.executors()]
        for disk in self.disks:
            await start(disk)
        for naive in (self.source, self.destination):
            naive.sent.clear()
        return self

    def executors(self) -> list[tuple[str, Executor]]:
        return [("source", self.source), ("destination", self.destination)]

    @property
    def places(self) -> tuple[Place, Place]:
        return Place(self.disks[0], 4096 // self.block_bytes), Place(self.disks[1], 8192 // self.destination.block_bytes)

    @property
    def locks_lba(self) -> int:
        return (self.size_bytes + 16 * KIB) // self.destination.block_bytes

    async def copy(self) -> CopyReport:
        """Copy the virtual disk, and check the content of the whole destination."""
        if not self.disks:
            await self.start()
        before = bytes(self.destination.content)
        await self.move()
        self.check(before)
        return self.report

    async def move(self) -> None:
        written_bytes = self.size_bytes if self.written_bytes is None else self.written_bytes
        locks_lba = self.locks_lba if self.has_locks else None
        await VirtualDiskCopy(self.host, *self.places, self.size_bytes, written_bytes, locks_lba, self.report).run()

    def check(self, before: bytes) -> None:
        """Check that the copied part equals the source, and that all other bytes are zeroed or unchanged."""
        written_bytes = self.size_bytes if self.written_bytes is None else self.written_bytes
        zeroed_bytes = self.report.zeroed_bytes + self.report.zeroed_by_writes_bytes
        wanted = bytearray(before)
        wanted[8192 : 8192 + written_bytes] = self.source.content[4096 : 4096 + written_bytes]
        wanted[8192 + written_bytes : 8192 + written_bytes + zeroed_bytes] = bytes(zeroed_bytes)
        assert self.destination.content == wanted, "the destination has wrong content"
        assert not self.destination.reserved

    def rules(self) -> list[Rule]:
        return [finding.rule for finding in self.host.findings]

    def works(self) -> list[Work]:
        """The work of all pieces, in no order."""
        return [work for (_, work), count in self.report.pieces.items() for _ in range(count)]

    def exchanges(self, operation_code: int) -> list[Exchange]:
        return [entry for entry in self.entries if isinstance(entry, Exchange) and entry.cdb[0] == operation_code]


def small(**changes: Any) -> EsxiSettings:
    """Settings with small pieces."""
    return EsxiSettings(**{**SMALL, **changes})
