"""Equipment for checks without a network: an array in memory under a virtual clock, and mutations of its replies."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import NoReturn

from odx_target.conformance.bench import Bench
from odx_target.conformance.exchange import Records
from odx_target.conformance.iscsi.raw_connection import RawConnection
from odx_target.conformance.path import Path
from odx_target.conformance.probing import probe_features, probe_unit
from odx_target.conformance.features import Features
from odx_target.initiator.result import CommandResult
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.reply import Reply
from tests.copymgr.array import CopyArray

NAME = "iqn.host"
SIZE_STORE_BLOCKS = 2048

Answer = Callable[[bytes, bytes, int], CommandResult]
Mutation = Callable[[bytes, bytes, int, Answer], CommandResult]
"""Takes a CDB, its data-out, its expected length, and the function that executes the command, and returns another result."""


def unchanged(cdb: bytes, data_out: bytes, data_in_bytes: int, answer: Answer) -> CommandResult:
    return answer(cdb, data_out, data_in_bytes)


@dataclass
class MemoryPath:
    """A nexus of an array in memory."""

    array: CopyArray
    nexus: Nexus
    mutate: Mutation

    async def execute(self, lun: int, cdb: bytes, data_out: bytes = b"", data_in_bytes: int = 0) -> CommandResult:
        return self.mutate(cdb, data_out, data_in_bytes, lambda *command: self._answer(lun, *command))

    def _answer(self, lun: int, cdb: bytes, data_out: bytes, data_in_bytes: int) -> CommandResult:
        if lun not in self.array.logical_units:
            return self._result(self.array.server.execute(self.nexus, lun, cdb.ljust(16, b"\0"), [], 0, 1)[1], data_in_bytes)
        return self._result(self.array.command(lun, cdb, data_out, nexus=self.nexus), data_in_bytes)

    def _result(self, reply: object, data_in_bytes: int) -> CommandResult:
        assert isinstance(reply, Reply)
        data = b"".join(bytes(part) for part in reply.data_in)[:data_in_bytes]
        return CommandResult(reply.status, data, bytes(reply.sense))

    async def reset_logical_unit(self, lun: int) -> int:
        self.array.server.reset_logical_unit(self.array.logical_units[lun], self.nexus)
        return 0


@dataclass
class SimulatedEquipment:
    """Sessions of an array in memory."""

    mutate: Mutation = unchanged
    array: CopyArray = field(default_factory=lambda: CopyArray(size_store_blocks=SIZE_STORE_BLOCKS))
    luns: tuple[int, ...] = (0, 1)

    @property
    def monotonic(self) -> Callable[[], float]:
        return self.array.environment.monotonic

    async def sleep(self, delay_s: float) -> None:
        self.array.environment.advance(delay_s)

    async def features(self) -> Features:
        async with self.open(Records()) as bench:
            return await probe_features(bench.first)

    @asynccontextmanager
    async def open(self, records: Records) -> AsyncIterator[Bench]:
        async with self.path("") as path:
            units = [await probe_unit(path, lun, f"LUN {lun}", self.sleep, records) for lun in self.luns]
            pair = units[1] if len(units) > 1 else None
            yield Bench(units[0], pair, self.path, self.monotonic, self.sleep, no_connection, initiator_name=NAME)

    @asynccontextmanager
    async def path(self, name: str) -> AsyncIterator[Path]:
        nexus = self.array.new_nexus(NAME + name)
        yield MemoryPath(self.array, nexus, self.mutate)
        self.array.server.detach(nexus)


def no_connection(records: Records) -> AbstractAsyncContextManager[RawConnection]:
    raise AssertionError("a simulated array has no portal")


def never(*_: object) -> NoReturn:
    raise AssertionError("never called")
