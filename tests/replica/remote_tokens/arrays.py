"""Two paired arrays of the simulated world, whose hosts send SCSI commands. The host uses tokens of `maker` at `redeemer`."""

from collections.abc import Mapping, Sequence
from typing import Any

from odx_target.copymgr.commands.parameter_lists import encode_populate_token, encode_write_using_token
from odx_target.copymgr.limits import CopyLimits, CopyOptions
from odx_target.copymgr.manager import CopyManager
from odx_target.replica.blocks.hint_tables import HintTables
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.paths.exchange import Exchange
from odx_target.replica.paths.path import Path
from odx_target.replica.paths.settings import Right
from odx_target.replica.remote_tokens.redeemer import Redeemer
from odx_target.replica.remote_tokens.staging import delete_volumes, left_over_volumes
from odx_target.replica.remote_tokens.staging_names import VOLUME_PREFIX
from odx_target.replica.remote_tokens.token_server import TokenServer
from odx_target.replica.remote_tokens.unit_writer import UnitWriter
from odx_target.replica.request_table import RequestTable
from odx_target.scsi.commands.standard import standard_commands
from odx_target.scsi.device_server import DeviceServer
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.reply import Reply
from odx_target.scsi.target_port import iscsi_port
from odx_target.scsi.tasks.task_attribute import TaskAttribute
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.store.api import BLOCK_BYTES
from tests.copymgr.array import data_of, in_cdb, out_cdb
from tests.replica.paths.arrays import Arrays
from tests.sim.simulated_array import SimulatedArray
from tests.sim.virtual_environment import VirtualTask
from tests.sim.world import World

Range = tuple[int, int]
BLOCK_LENGTHS = (512, 4096)

MAX_CLOSING_S = 100
"""Longest time until nothing is left of copies that have ended."""


class Copier:
    """The copy manager, the device server and the LUNs of a simulated array, with its requests and tokens of peers."""

    def __init__(self, array: SimulatedArray, size_blocks: int, limits: CopyLimits, options: CopyOptions) -> None:
        self.array = array
        self.size_blocks = size_blocks
        self.limits = limits
        self.options = options
        self.lists = iter(range(1, 1 << 30))
        self.writers: set[str] = set()
        """Names of the hosts for which EXTENDED COPY at the peer may write the LUNs."""
        self.read_only_luns: set[int] = set()
        array.serve = self._serve
        self.start()

    def start(self) -> None:
        """Open what the process of the array has in memory."""
        array, environment = self.array, self.array.environment
        self.manager = CopyManager(array.pool, environment, self.limits, self.options)
        copies = self.manager.copies
        copies.on_internal_error = self._internal_error
        self.server = DeviceServer([*standard_commands(), *self.manager.commands()])
        self.server.on_internal_error = self._internal_error
        self.manager.connect(self.server)
        self.tokens = TokenServer(copies, environment)
        self.writer = UnitWriter(copies, self.server, self._nexus_of, environment)
        self.requests = RequestTable(array.pool, environment, self.tokens, self.writer)
        self.redeemer = Redeemer(copies, array.paths, HintTables(10_000), environment, array.errors.append)
        copies.remote = self.redeemer
        environment.start_soon(self.redeemer.watch)
        self.units = {number: self._unit(number) for number in range(len(BLOCK_LENGTHS))}
        for unit in self.units.values():
            self.manager.attach_logical_unit(unit)
        array.world.run(environment, delete_volumes(array.pool, environment, left_over_volumes(array.pool)))
        array.world.run(environment, self.manager.start())
        self.nexus = Nexus("iqn.host", "iqn.host,i,1", iscsi_port("iqn.array"), self.units)
        self.server.attach(self.nexus)
        self.nexus.unit_attentions.clear()

    def _unit(self, number: int) -> LogicalUnit:
        pool, name, block_bytes = self.array.pool, f"lun{number}", BLOCK_LENGTHS[number]
        if name not in pool.volumes:
            pool.create_volume(name, self.size_blocks, {})
        capacity_blocks = self.size_blocks * BLOCK_BYTES // block_bytes
        return LogicalUnit(
            number=number,
            volume=pool.volumes[name],
            block_bytes=block_bytes,
            capacity_blocks=capacity_blocks,
            pool=pool,
            environment=self.array.environment,
        )

    def _nexus_of(self, initiator_name: str, unit: LogicalUnit) -> Nexus | None:
        if initiator_name not in self.writers:
            return None
        return Nexus(initiator_name, initiator_name, iscsi_port("iqn.array"), {unit.number: unit}, self.read_only_luns)

    async def _serve(self, _array: SimulatedArray, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        await self.requests.serve(path, exchange, document)

    def _internal_error(self, error: BaseException) -> None:
        assert isinstance(error, Exception)
        self.array.errors.append(error)

    def begin(self, lun: int, cdb: bytes, data_out: bytes = b"") -> Reply | VirtualTask:
        """Send a command."""
        data = [memoryview(bytearray(data_out))] if data_out else []
        _, outcome = self.server.execute(self.nexus, lun, cdb.ljust(16, b"\0"), data, TaskAttribute.SIMPLE, next(self.lists))
        self.array.pool.commit()
        return outcome if isinstance(outcome, Reply) else self.array.environment.spawn(outcome.run())

    def command(self, lun: int, cdb: bytes, data_out: bytes = b"") -> Reply:
        """Send a command, and return its reply."""
        return self.reply(self.begin(lun, cdb, data_out))

    def reply(self, begun: Reply | VirtualTask) -> Reply:
        """Wait for the reply of a command."""
        if isinstance(begun, Reply):
            return begun
        self.array.world.run_until(lambda: begun.done, 120.0)
        reply = begun.value()
        assert isinstance(reply, Reply)
        return reply

    def write(self, lun: int, lba: int, data: bytes) -> None:
        count = len(data) // BLOCK_LENGTHS[lun]
        reply = self.command(lun, b"\x8a\0" + lba.to_bytes(8, "big") + count.to_bytes(4, "big"), data)
        assert reply.status == 0, reply.sense.hex(" ")

    def read(self, lun: int, lba: int, count: int) -> bytes:
        return data_of(self.command(lun, b"\x88\0" + lba.to_bytes(8, "big") + count.to_bytes(4, "big")))

    def token(self, lun: int, ranges: Sequence[Range], **fields: int) -> bytes:
        """Make a token."""
        identifier = next(self.lists)
        data = encode_populate_token(ranges, **fields)
        reply = self.command(lun, out_cdb(0x10, identifier, len(data)), data)
        assert reply.status == 0, reply.sense.hex(" ")
        return data_of(self.command(lun, in_cdb(0x07, identifier, 1024)))[38:]

    def begin_using(
        self, lun: int, token: bytes, ranges: Sequence[Range], identifier: int = 77, **fields: int
    ) -> Reply | VirtualTask:
        data = encode_write_using_token(token, ranges, **fields)
        return self.begin(lun, out_cdb(0x11, identifier, len(data)), data)

    def using(self, lun: int, token: bytes, ranges: Sequence[Range], **fields: int) -> Reply:
        """Write by a token, and return the reply."""
        return self.reply(self.begin_using(lun, token, ranges, **fields))

    def result(self, lun: int, identifier: int = 77) -> tuple[int, int]:
        """Return the status and the transfer count that RECEIVE ROD TOKEN INFORMATION reports."""
        data = data_of(self.command(lun, in_cdb(0x07, identifier, 1024)))
        return data[5] & 0x7F, int.from_bytes(data[16:24], "big")

    @property
    def staging_volumes(self) -> list[str]:
        return [name for name in self.array.pool.volumes if name.startswith(VOLUME_PREFIX)]


class TokenArrays:
    """Two paired arrays. `maker` makes tokens, and `redeemer` writes by them."""

    def __init__(
        self,
        seed: int,
        size_blocks: int = 2048,
        limits: CopyLimits | None = None,
        options: CopyOptions | None = None,
        maker_options: CopyOptions | None = None,
        world: World | None = None,
    ) -> None:
        self.arrays = Arrays(seed, (True, False), world)
        self.world, self.network = self.arrays.world, self.arrays.network
        limits = limits or CopyLimits()
        self.redeemer = Copier(self.arrays.one, size_blocks, limits, options or CopyOptions())
        self.maker = Copier(self.arrays.other, size_blocks, limits, maker_options or CopyOptions())
        self.arrays.connect()

    def set_rights(self, array: SimulatedArray, rights: frozenset[Right]) -> None:
        """Change the rights that an array gives to its only peer."""
        (path,) = array.paths.values()
        object.__setattr__(path.settings, "rights", rights)

    def restart(self, copier: Copier, *, power: bool = False, after_s: float = 0.5) -> None:
        """End the process of an array, and start it again after a while."""
        (copier.array.lose_power if power else copier.array.kill)()
        self.world.advance(after_s)
        copier.array.start()
        copier.start()

    def assert_no_errors(self) -> None:
        assert self.maker.array.errors == self.redeemer.array.errors == []

    def assert_nothing_leaks(self) -> None:
        """Wait until all is closed, and check that no lease, token, request, volume or frozen map is left."""
        for _ in range(MAX_CLOSING_S):
            if not any(self._left_over().values()):
                break
            self.world.advance(1.0)
        assert {what: left for what, left in self._left_over().items() if left} == {}
        self.assert_no_errors()

    def _left_over(self) -> dict[str, int]:
        """Return the numbers of what copies by tokens should close."""
        frozen: Any = self.redeemer.array.pool.frozen_maps
        return {
            "open tokens": self.redeemer.redeemer.open_tokens,
            "leases": len(self.maker.tokens.leases),
            "volumes": len(self.redeemer.staging_volumes),
            "leased tokens": sum(bool(token.leases) for token in self.maker.manager.copies.tokens.live.values()),
            "frozen maps": len(frozen),
        }
