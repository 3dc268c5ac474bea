"""Equipment for checks without a network: an array in memory under a virtual clock, and mutations of its replies."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from odx_target.conformance.bench import Bench
from odx_target.conformance.exchange import Records
from odx_target.conformance.features import Features
from odx_target.conformance.iscsi.raw_connection import RawConnection
from odx_target.conformance.path import Path
from odx_target.conformance.probing import probe_features, probe_unit
from odx_target.initiator.result import CommandResult
from odx_target.scsi.asymmetric_access.port_groups import AccessModes, PortGroup, PortGroups
from odx_target.scsi.nexus import Nexus
from tests.conformance.mutations import RESET, Mutation, Target, unchanged
from tests.copymgr.array import CopyArray
from tests.scsi.reserving import EveryPort

NAME = "iqn.host"
SIZE_STORE_BLOCKS = 2048


@dataclass
class MemoryPath:
    """A nexus of an array in memory."""

    array: CopyArray
    nexus: Nexus
    mutate: Mutation

    async def execute(self, lun: int, cdb: bytes, data_out: bytes = b"", data_in_bytes: int = 0) -> CommandResult:
        target = Target(self.array, self.nexus, lun, lambda *command: self._answer(lun, *command))
        return self.mutate(cdb, data_out, data_in_bytes, target)

    def _answer(self, lun: int, cdb: bytes, data_out: bytes, data_in_bytes: int) -> CommandResult:
        if cdb[0] == RESET:
            self.array.server.reset_logical_unit(self.array.logical_units[lun], self.nexus)
            return CommandResult(0)
        reply = self.array.command(lun, cdb, data_out, nexus=self.nexus)
        data = b"".join(bytes(part) for part in reply.data_in)[:data_in_bytes]
        return CommandResult(reply.status, data, bytes(reply.sense))

    async def reset_logical_unit(self, lun: int) -> int:
        return (await self.execute(lun, bytes((RESET, 0)))).status


@dataclass
class SimulatedEquipment:
    """Sessions of an array in memory."""

    mutate: Mutation = unchanged
    array: CopyArray = field(default_factory=lambda: CopyArray(size_store_blocks=SIZE_STORE_BLOCKS))
    luns: tuple[int, ...] = (0, 1)

    def __post_init__(self) -> None:
        groups = PortGroups(AccessModes.BOTH, (PortGroup(1), PortGroup(2, (2,))))
        for logical_unit in self.array.logical_units.values():
            logical_unit.port_groups = groups
        self.array.server.port_access = EveryPort((1, 2))

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
