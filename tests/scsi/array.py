"""A device server with a memory volume, which runs without an event loop."""

from collections.abc import Sequence
from typing import Any

from odx_target.environment import Buffer
from odx_target.scsi.commands.standard import standard_commands
from odx_target.scsi.device_server import DeviceServer
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.reply import Reply
from odx_target.scsi.target_port import iscsi_port
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.tasks.task_attribute import TaskAttribute
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.store.api import BLOCK_BYTES
from tests.scsi.memory_pool import MemoryPool
from tests.sim.virtual_environment import VirtualEnvironment, VirtualTask

TARGET_NAME = "iqn.2026-11.io.odx-target:array"


class UnitUnderTest:
    """One logical unit, LUN 0, and one nexus without pending unit attentions."""

    def __init__(self, block_bytes: int = 512, size_store_blocks: int = 1024, **options: Any) -> None:
        self.environment = VirtualEnvironment()
        self.pool = MemoryPool(self.environment, size_store_blocks)
        self.volume = self.pool.volume
        self.logical_unit = LogicalUnit(
            number=0,
            volume=self.volume,
            block_bytes=block_bytes,
            capacity_blocks=size_store_blocks * BLOCK_BYTES // block_bytes,
            pool=self.pool,
            environment=self.environment,
            **options,
        )
        self.server = DeviceServer(standard_commands())
        self.internal_errors: list[BaseException] = []
        self.server.on_internal_error = self.internal_errors.append
        self.nexus = self.new_nexus()
        self._tags = iter(range(1, 1 << 30))

    def new_nexus(self, *, quiet: bool = True) -> Nexus:
        nexus = Nexus("iqn.host", "iqn.host,i,0x1", iscsi_port(TARGET_NAME), {0: self.logical_unit})
        self.server.attach(nexus)
        if quiet:
            nexus.unit_attentions.clear()
        return nexus

    def start(
        self,
        cdb: bytes | str,
        data_out: bytes | Sequence[Buffer] = b"",
        *,
        nexus: Nexus | None = None,
        lun: int = 0,
        attribute: int = TaskAttribute.SIMPLE,
        tag: int | None = None,
    ) -> "Started":
        """Execute a CDB, padded as iSCSI does. Pending work becomes a task of the environment."""
        raw = bytes.fromhex(cdb) if isinstance(cdb, str) else cdb
        buffers: Sequence[Buffer] = ([data_out] if data_out else []) if isinstance(data_out, bytes) else data_out
        task, outcome = self.server.execute(
            nexus or self.nexus, lun, raw.ljust(16, b"\0"), buffers, attribute, next(self._tags) if tag is None else tag
        )
        assert task is not None
        return Started(task, outcome if isinstance(outcome, Reply) else self.environment.spawn(outcome.run()))

    def command(self, cdb: bytes | str, data_out: bytes | Sequence[Buffer] = b"", **options: Any) -> Reply:
        """Execute a CDB until it ends, and return its reply."""
        started = self.start(cdb, data_out, **options)
        while not started.is_done:
            self.environment.advance(0.01)
        return started.reply


class Started:
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


def data_of(reply: Reply) -> bytes:
    """Return the data-in of a command that must be successful."""
    assert reply.status == 0, reply.sense.hex(" ")
    return b"".join(reply.data_in)


def code_of(reply: Reply) -> tuple[int, int, int]:
    """Return the sense key, ASC and ASCQ of a CHECK CONDITION in fixed format."""
    assert reply.status == 2, reply
    return reply.sense[2] & 0xF, reply.sense[12], reply.sense[13]
