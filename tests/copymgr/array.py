"""A whole array without a network: the real store in memory, the real device server, and the copy manager under test."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar

from odx_target.copymgr.commands.parameter_lists import encode_populate_token, encode_write_using_token
from odx_target.copymgr.limits import CopyLimits, CopyOptions
from odx_target.copymgr.manager import CopyManager
from odx_target.scsi.commands.blocks.sanitize_job import continue_sanitize
from odx_target.scsi.commands.standard import standard_commands
from odx_target.scsi.device_server import DeviceServer
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.reply import Reply
from odx_target.scsi.target_port import iscsi_port
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.tasks.task_attribute import TaskAttribute
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.scsi.unit.sanitize_operation import recall
from odx_target.store.api import BLOCK_BYTES, PoolFailed, Volume
from odx_target.store.catalogue.memory import CatalogueContent, MemoryCatalogue
from odx_target.store.open import PoolOptions, PoolParts, open_pool
from odx_target.store.opening.format_head import MemoryHead
from odx_target.store.pool import LogPool
from odx_target.store.segments.memory import MemorySegments
from tests.sim.virtual_environment import JobsOf, VirtualEnvironment, VirtualTask

TARGET_NAME = "iqn.2026-11.io.odx-target:array"
WINDOWS_ALLOCATION_BYTES = 805
Range = tuple[int, int]

# The logical block lengths of LUNs 0, 1, ...
BLOCK_LENGTHS = (512, 512, 4096, 4096)


class CopyArray:
    """LUNs of 512- and 4096-byte blocks on one memory pool. The pool survives `restart`."""

    _open: ClassVar[list["CopyArray"]] = []

    def __init__(
        self,
        limits: CopyLimits | None = None,
        options: CopyOptions | None = None,
        *,
        size_store_blocks: int = 256,
        block_lengths: Sequence[int] = BLOCK_LENGTHS,
        pool_options: PoolOptions | None = None,
        seed: int = 0,
    ) -> None:
        self.environment = VirtualEnvironment(seed)
        self.limits = limits or CopyLimits()
        self.options = options or CopyOptions()
        self.size_store_blocks = size_store_blocks
        self.block_lengths = block_lengths
        self.pool_options = pool_options
        self._kept = (MemoryHead(), MemorySegments(), CatalogueContent())
        self.internal_errors: list[BaseException] = []
        self._tags = iter(range(1, 1 << 30))
        self._started: list[VirtualTask] = []
        self._open.append(self)
        self._start()

    def _start(self) -> None:
        head, segments, content = self._kept
        parts = PoolParts(head, segments, MemoryCatalogue(content), lambda: None)
        self.pool: LogPool = self.environment.run(open_pool(parts, self.environment, self.pool_options))
        self.copies = JobsOf(self.environment)
        self.manager = CopyManager(self.pool, self.copies, self.limits, self.options)
        self.manager.copies.on_internal_error = self.internal_errors.append
        self.server = DeviceServer([*standard_commands(), *self.manager.commands()])
        self.server.on_internal_error = self.internal_errors.append
        self.manager.connect(self.server)
        self.logical_units = {number: self._logical_unit(number) for number in range(len(self.block_lengths))}
        for logical_unit in self.logical_units.values():
            self.manager.attach_logical_unit(logical_unit)
        self.environment.run(self.manager.start())
        for logical_unit in self.logical_units.values():
            continue_sanitize(logical_unit)
        self.nexus = self.new_nexus()

    @classmethod
    def close_all(cls) -> None:
        """Stop the jobs of all arrays that earlier tests have left open."""
        for array in cls._open:
            array.stop_jobs()
        cls._open.clear()

    def stop_jobs(self) -> None:
        """Cancel all running and waiting jobs, as the end of a nursery does."""
        self.environment.stop()
        self._started.clear()

    def end_connections(self, *, cut: bool = False) -> None:
        """Lose every nexus and cancel the waiting commands. With `cut`, the commands are cancelled first."""
        for _ in range(2):
            if cut:
                self.environment.cancel(self._started)
            else:
                for nexus in list(self.server.nexuses):
                    self.server.detach(nexus)
            cut = not cut
        self._started.clear()

    def _logical_unit(self, number: int, **options: Any) -> LogicalUnit:
        name = f"lun{number}"
        if name not in self.pool.volumes:
            self.pool.create_volume(name, self.size_store_blocks, {})
        block_bytes = self.block_lengths[number]
        logical_unit = LogicalUnit(
            number=number,
            volume=self.pool.volumes[name],
            block_bytes=block_bytes,
            capacity_blocks=self.size_store_blocks * BLOCK_BYTES // block_bytes,
            pool=self.pool,
            environment=self.environment,
            **options,
        )
        logical_unit.sanitize_operation = recall(self.pool, logical_unit.volume.identity, self.environment.event)
        return logical_unit

    def restart(self) -> None:
        """Stop in good order, as an array does, and start again. All nexuses are lost."""
        self.end_connections()
        self.copies.stop()
        with suppress(PoolFailed):
            self.environment.run(self.pool.close())
        self.stop_jobs()
        self._start()

    def volume(self, lun: int) -> Volume:
        return self.logical_units[lun].volume

    def block_bytes(self, lun: int) -> int:
        return self.block_lengths[lun]

    def new_nexus(self, initiator: str = "iqn.host", port: str = "1") -> Nexus:
        nexus = Nexus(initiator, f"{initiator},i,{port}", iscsi_port(TARGET_NAME), self.logical_units)
        self.server.attach(nexus)
        nexus.unit_attentions.clear()
        return nexus

    def start(
        self, lun: int, cdb: bytes, data_out: bytes = b"", *, nexus: Nexus | None = None, tag: int | None = None
    ) -> "Started":
        """Execute a CDB. Pending work becomes a task of the environment. The data-out buffer is overwritten afterwards."""
        buffer = bytearray(data_out)
        task, outcome = self.server.execute(
            nexus or self.nexus,
            lun,
            cdb.ljust(16, b"\0"),
            [memoryview(buffer)] if data_out else [],
            TaskAttribute.SIMPLE,
            next(self._tags) if tag is None else tag,
        )
        self.pool.commit()
        buffer[:] = b"\xee" * len(buffer)
        assert task is not None
        if isinstance(outcome, Reply):
            return Started(task, outcome)
        self._started = [each for each in self._started if not each.done]
        self._started.append(self.environment.spawn(outcome.run()))
        return Started(task, self._started[-1])

    def command_at_once(self, lun: int, cdb: bytes, *, nexus: Nexus | None = None) -> Reply:
        """Execute a CDB that never waits, and return its reply."""
        return self.start(lun, cdb, nexus=nexus).reply

    def command(self, lun: int, cdb: bytes, data_out: bytes = b"", *, nexus: Nexus | None = None) -> Reply:
        """Execute a CDB until it ends, and return its reply."""
        started = self.start(lun, cdb, data_out, nexus=nexus)
        for _ in range(100_000):
            if started.is_done:
                return started.reply
            self.environment.advance(0.001)
        raise AssertionError("the command does not end")

    def write(self, lun: int, lba: int, data: bytes, *, nexus: Nexus | None = None) -> Reply:
        count = len(data) // self.block_bytes(lun)
        return self.command(lun, b"\x8a\0" + lba.to_bytes(8, "big") + count.to_bytes(4, "big"), data, nexus=nexus)

    def read(self, lun: int, lba: int, count: int) -> bytes:
        reply = self.command(lun, b"\x88\0" + lba.to_bytes(8, "big") + count.to_bytes(4, "big"))
        assert reply.status == 0, reply.sense.hex(" ")
        return b"".join(reply.data_in)

    def populate(
        self, lun: int, list_identifier: int, ranges: Sequence[Range], *, nexus: Nexus | None = None, **fields: int
    ) -> Reply:
        return self.start_populate(lun, list_identifier, ranges, nexus=nexus, **fields).wait(self.environment)

    def start_populate(
        self,
        lun: int,
        list_identifier: int,
        ranges: Sequence[Range],
        *,
        nexus: Nexus | None = None,
        tag: int | None = None,
        **fields: int,
    ) -> "Started":
        data = encode_populate_token(ranges, **fields)
        return self.start(lun, out_cdb(0x10, list_identifier, len(data)), data, nexus=nexus, tag=tag)

    def write_using(
        self,
        lun: int,
        list_identifier: int,
        token: bytes,
        ranges: Sequence[Range],
        *,
        nexus: Nexus | None = None,
        **fields: int,
    ) -> Reply:
        return self.start_write_using(lun, list_identifier, token, ranges, nexus=nexus, **fields).wait(self.environment)

    def start_write_using(
        self,
        lun: int,
        list_identifier: int,
        token: bytes,
        ranges: Sequence[Range],
        *,
        nexus: Nexus | None = None,
        tag: int | None = None,
        **fields: int,
    ) -> "Started":
        data = encode_write_using_token(token, ranges, **fields)
        return self.start(lun, out_cdb(0x11, list_identifier, len(data)), data, nexus=nexus, tag=tag)

    def information(
        self, lun: int, list_identifier: int, allocation: int = WINDOWS_ALLOCATION_BYTES, *, nexus: Nexus | None = None
    ) -> Reply:
        return self.command(lun, in_cdb(0x07, list_identifier, allocation), nexus=nexus)

    def copy_status(self, lun: int, list_identifier: int, allocation: int = 1024, *, nexus: Nexus | None = None) -> Reply:
        return self.command(lun, in_cdb(0x05, list_identifier, allocation), nexus=nexus)

    def all_tokens(self, lun: int, allocation: int = 65536) -> list[bytes]:
        data = data_of(self.command(lun, in_cdb(0x08, 0, allocation)))
        assert int.from_bytes(data[:4], "big") == len(data) - 4
        return [data[start : start + 96] for start in range(8, len(data), 96)]

    def abort(self, lun: int, list_identifier: int, *, nexus: Nexus | None = None) -> Reply:
        return self.command(lun, b"\x83\x1c" + list_identifier.to_bytes(4, "big"), nexus=nexus)

    def token(
        self, lun: int, list_identifier: int, ranges: Sequence[Range], *, nexus: Nexus | None = None, **fields: int
    ) -> bytes:
        """Make a token with POPULATE TOKEN, and fetch it with RECEIVE ROD TOKEN INFORMATION."""
        reply = self.populate(lun, list_identifier, ranges, nexus=nexus, **fields)
        assert reply.status == 0, reply.sense.hex(" ")
        data = data_of(self.information(lun, list_identifier, nexus=nexus))
        assert len(data) == 550
        return data[38:]


class Started:
    """A command that has been started, under way or ended."""

    def __init__(self, task: Task, outcome: Reply | VirtualTask) -> None:
        self.task = task
        self.outcome = outcome

    @property
    def is_done(self) -> bool:
        return isinstance(self.outcome, Reply) or self.outcome.done

    @property
    def reply(self) -> Reply:
        reply = self.outcome if isinstance(self.outcome, Reply) else self.outcome.value()
        assert isinstance(reply, Reply)
        return reply

    def wait(self, environment: VirtualEnvironment) -> Reply:
        for _ in range(100_000):
            if self.is_done:
                return self.reply
            environment.advance(0.001)
        raise AssertionError("the command does not end")


def out_cdb(service_action: int, list_identifier: int, list_bytes: int) -> bytes:
    return (
        bytes((0x83, service_action, 0, 0, 0, 0))
        + list_identifier.to_bytes(4, "big")
        + list_bytes.to_bytes(4, "big")
        + bytes(2)
    )


def in_cdb(service_action: int, list_identifier: int, allocation: int) -> bytes:
    return (
        bytes((0x84, service_action)) + list_identifier.to_bytes(4, "big") + bytes(4) + allocation.to_bytes(4, "big") + bytes(2)
    )


def data_of(reply: Reply) -> bytes:
    assert reply.status == 0, reply.sense.hex(" ")
    return b"".join(reply.data_in)


def code_of(reply: Reply) -> str:
    """Return "good", "aborted", or the key, ASC and ASCQ of fixed format sense data."""
    if reply.status == 0:
        return "good"
    if reply.status == 0x40:
        return "aborted"
    assert reply.status == 2, reply
    return f"{reply.sense[2] & 0xF:X}/{reply.sense[12]:02X}/{reply.sense[13]:02X}"


def pattern(seed: int, lba: int, count: int, block_bytes: int) -> bytes:
    """Return blocks whose content names the seed and their LBA."""
    return b"".join((f"{seed}:{lba + index};".encode() * block_bytes)[:block_bytes] for index in range(count))
