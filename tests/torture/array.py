"""An array on a simulated disk, without a network: the pool, the device server, the copy manager, the changes of LUNs and the
schedules, all real.

The attribute `slot` of each volume has a name that never changes, `v<n>`. A run calls the volume by this name or by n, whatever
its present name and LUN are.
"""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from random import Random
from typing import Any, TypeVar

from odx_target.copymgr.limits import CopyLimits
from odx_target.copymgr.manager import CopyManager
from odx_target.scsi.commands.blocks.sanitize_job import begin_sanitize, continue_sanitize
from odx_target.scsi.commands.standard import standard_commands
from odx_target.scsi.device_server import DeviceServer
from odx_target.scsi.limits import FORMAT_RETRY_S
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.reply import Reply
from odx_target.scsi.target_port import iscsi_port
from odx_target.scsi.tasks.task_attribute import TaskAttribute
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.scsi.unit.sanitize_operation import SanitizeOperation, drop
from odx_target.store.api import (
    BLOCK_BYTES,
    COMPRESSION_ATTRIBUTE,
    TIER_ATTRIBUTE,
    BlockSource,
    PoolBusy,
    PoolFailed,
    Scarcity,
    StoreError,
    Unwritable,
)
from odx_target.store.open import LogPool, open_pool
from odx_target.store.pool_options import PoolOptions
from odx_target.target.config.settings import Config, ScheduleTemplate
from odx_target.target.control.storage.storage import Storage
from odx_target.target.logical_units import BLOCK_ATTRIBUTE, LUN_ATTRIBUTE, logical_unit_of
from odx_target.target.lun_size import SIZE_ATTRIBUTE, forget_size, volume_blocks
from odx_target.target.schedules.templates import open_schedules
from tests.copymgr.array import Started, code_of
from tests.sim.simulated_disk import Crash, SimulatedDisk
from tests.sim.virtual_environment import Cancelled
from tests.torture.found import SLOT, found, found_volume
from tests.torture.lun_changes import LunChangesUnderTorture
from tests.torture.model import CELL_BYTES, Moment, VolumeContent
from tests.torture.process import Process
from tests.torture.slots import TARGET_NAME, Slots

T = TypeVar("T")

COUNT_LUNS = 4
CONFIG = Config(iqn=TARGET_NAME)
ADVANCE_S = 0.001
MAX_WAITS = 4_000
LIMITS = CopyLimits(copy_step_bytes=2 * BLOCK_BYTES, remap_step_bytes=5 * BLOCK_BYTES, default_inactivity_timeout_s=120)


class Stuck(AssertionError):
    """A command or a change does not end."""


class InternalError(AssertionError):
    """The array has reported a bug, or a background job has ended with an exception."""


class ArrayUnderTorture(Slots):
    """One array. After `Crash`, `crash` opens it again; the objects of the former process must not be used any more."""

    def __init__(self, seed: int, options: PoolOptions, steps_of_a_turn: int, *, has_capacity: bool = False) -> None:
        self.random = Random(seed)
        self.disk = SimulatedDisk(Random(seed + 1), has_capacity=has_capacity)
        self.disk.syncs_at_once = seed % 2 == 1
        self.has_committed = True
        """True if the last commit has succeeded, so that the array sends replies."""
        self.options = options
        self.steps_of_a_turn = steps_of_a_turn
        self.internal_errors: list[BaseException] = []
        self.environment = Process(self.disk, seed)
        self.wall_offset_s = 0.0
        self.reports: list[tuple[str, dict[str, object]]] = []
        """The events that the schedules have reported since the last opening."""
        self._tags = iter(range(1, 1 << 40))

    # Opening and ends

    def open(self) -> None:
        """Open the pool in a new process. The clock goes on. Raises Crash."""
        self.abandon()
        self.environment = Process(self.disk, self.random.randrange(1 << 32), self.environment.now_s)
        self.set_clock(0.0)
        turns = self.environment.turns
        turns.of_a_turn = turns.left = self.steps_of_a_turn
        self.pool: LogPool = self.environment.run(self.open_pool())
        self.recovered_osn = self.pool.log.next_osn
        self.manager = CopyManager(self.pool, self.environment, LIMITS)
        self.manager.copies.on_internal_error = self.internal_errors.append
        self.server = DeviceServer([*standard_commands(), *self.manager.commands()])
        self.server.on_internal_error = self.internal_errors.append
        self.manager.connect(self.server)
        self.logical_units: dict[int, LogicalUnit] = {}
        for volume in self.pool.volumes.values():
            if LUN_ATTRIBUTE in volume.attributes:
                self._present(logical_unit_of(volume, self.pool, self.environment))
        self.environment.run(self.manager.start())
        self.lun_changes = LunChangesUnderTorture(
            self.logical_units, self.pool, self.server, self.manager, self.environment, CONFIG, self.commit
        )
        self.storage = Storage(self.pool, self.environment, self)  # type: ignore[arg-type]
        self.environment.run(self.open_schedules(()))
        for unit in self.logical_units.values():
            continue_sanitize(unit)
        self.finish_sanitizing()
        self.nexus = Nexus("iqn.host", "iqn.host,i,1", iscsi_port(TARGET_NAME), self.logical_units)
        self.server.attach(self.nexus)
        self.nexus.unit_attentions.clear()

    def open_pool(self) -> Coroutine[Any, Any, LogPool]:
        return open_pool(self.disk.parts(), self.environment, self.options)

    async def open_schedules(self, templates: Sequence[ScheduleTemplate]) -> None:
        """Make the runner of the schedules, and add the schedules of templates. Nothing calls the runner by itself."""
        self.reports.clear()
        self.schedules = await open_schedules(self.pool, self.environment, self._report, self.make_durable, templates)

    def _report(self, _level: str, event: str, /, *, cause: object = None, lines: int = 1, **fields: object) -> None:
        self.reports.append((event, fields))

    def set_clock(self, jump_s: float) -> None:
        """Set the wall clock forward, or back if `jump_s` is negative."""
        self.wall_offset_s += jump_s
        self.environment.wall_offset_s = self.wall_offset_s

    def abandon(self) -> None:
        """End the process at this moment."""
        was_off, self.disk.is_off = self.disk.is_off, True
        self.environment.die()
        self.disk.is_off = was_off

    def close(self) -> None:
        """Stop in good order. Raises Scarcity, Unwritable or PoolFailed if the disk fails; the pool is closed nevertheless."""
        self.server.detach(self.nexus)
        self.run(self.pool.close())
        self.environment.stop()

    # Commands of the host

    def start(self, lun: int, cdb: bytes, data_out: bytes = b"") -> Started:
        """Execute a command on the LUN of the slot `v<lun>`. Work that waits becomes a task of the environment."""
        buffer = bytearray(data_out)
        buffers = [memoryview(buffer)] if data_out else []
        cdb = cdb.ljust(16, b"\0")
        task, outcome = self.server.execute(
            self.nexus, self.number_of(lun), cdb, buffers, TaskAttribute.SIMPLE, next(self._tags)
        )
        started = Started(task, outcome if isinstance(outcome, Reply) else self.environment.spawn(outcome.run()))
        self.commit_now()
        buffer[:] = b"\xee" * len(buffer)
        return started

    def wait(self, started: Started) -> Reply:
        """Wait for the end of a command. Raises Crash."""
        for count in range(MAX_WAITS):
            self.disk.check_on()
            if started.is_done:
                return started.reply
            self.environment.advance(ADVANCE_S)
            if count == MAX_WAITS // 2:
                self.disk.failing.clear()  # The array waits for a disk that works again.
        raise Stuck(f"the command {started.task.cdb.hex()} does not end")

    def command(self, lun: int, cdb: bytes, data_out: bytes = b"") -> Reply:
        return self.wait(self.start(lun, cdb, data_out))

    def commit_now(self) -> bool:
        """Commit as a connection does before it sends replies. Returns False if the changes may not be acknowledged."""
        self.has_committed = False
        try:
            self.pool.commit()
        except (Scarcity, PoolFailed):
            return False
        self.has_committed = True
        return True

    def finish_sanitizing(self) -> None:
        """Wait until no logical unit is being sanitized. A failed operation begins again. Raises Crash."""
        for unit in list(self.logical_units.values()):
            for count in range(MAX_WAITS):
                operation = unit.sanitize_operation
                if operation is None or self.pool.failure is not None:
                    break
                if operation.has_failed or count == MAX_WAITS // 2:
                    self.disk.failing.clear()
                if operation.has_failed:
                    again = SanitizeOperation(operation.pattern, is_restricted=True, make_event=self.environment.event)
                    begin_sanitize(unit, again)
                self.environment.advance(FORMAT_RETRY_S / 100)
                self.disk.check_on()
            else:
                raise Stuck(f"the sanitize operation of LUN {unit.number} does not end")

    # Changes by the operator. Some methods replace those of `target.array.Array` for the operations of management.

    def commit(self) -> None:
        with suppress(Scarcity):
            self.pool.commit()

    async def make_durable(self) -> None:
        await self.pool.committed()
        await self.pool.flush()

    def change(self, act: Callable[[], T]) -> T:
        """Change the pool, and wait for room while it is busy. Raises StoreError, Crash."""
        for count in range(MAX_WAITS):
            if count == MAX_WAITS // 2:
                self.disk.failing.clear()
            try:
                return act()
            except PoolBusy:
                self.environment.advance(ADVANCE_S)
                self.disk.check_on()
        raise Stuck("the pool stays busy")

    def run(self, coroutine: Awaitable[T]) -> T:
        """Run a coroutine to its end. Raises Crash if the machine turns off meanwhile."""
        task = self.environment.spawn(coroutine)  # type: ignore[arg-type]
        for count in range(MAX_WAITS):
            self.environment.settle()
            self.disk.check_on()
            if task.done:
                return task.value()  # type: ignore[no-any-return]
            self.environment.advance(ADVANCE_S)
            if count == MAX_WAITS // 2:
                self.disk.failing.clear()
        raise Stuck("an operation does not end")

    def create(self, number: int, content: VolumeContent, origin: BlockSource | None = None) -> None:
        """Create the volume of a slot as a LUN, with the size and the settings of `content`."""
        settings, size_bytes = content.settings, len(content.cells) * CELL_BYTES
        attributes = {
            SLOT: f"v{number}",
            SIZE_ATTRIBUTE: str(size_bytes),
            BLOCK_ATTRIBUTE: str(content.unit * CELL_BYTES),
            LUN_ATTRIBUTE: str(settings.lun),
            COMPRESSION_ATTRIBUTE: settings.compression,
            TIER_ATTRIBUTE: settings.tier,
        }
        size_blocks = volume_blocks(size_bytes) if origin is None else origin.size_blocks
        volume = self.change(lambda: self.pool.create_volume(settings.name, size_blocks, attributes, origin))
        self._present(logical_unit_of(volume, self.pool, self.environment))

    def delete(self, number: int) -> None:
        """Remove the LUN of a slot, if there is one, and its volume, as management does."""
        volume = self.volume(f"v{number}")
        unit = self.lun_changes.of_volume(volume)
        if unit is not None:
            self.server.clear_tasks(unit)

        def act() -> None:
            self.pool.delete_volume(volume.name)
            forget_size(volume, self.pool)
            drop(self.pool, volume.identity)
            self.schedules.book.forget_volume(volume)

        self.change(act)
        if unit is not None:
            self.manager.detach_logical_unit(unit)
            self.server.logical_unit_removed(unit)
            del self.logical_units[unit.number]
        self.nexus.unit_attentions.clear()

    def _present(self, unit: LogicalUnit) -> None:
        self.manager.attach_logical_unit(unit)
        self.logical_units[unit.number] = unit

    # Observation

    def check_no_errors(self) -> None:
        """Raise InternalError if a handler or a background job has ended with an unexpected exception."""
        expected = (Crash, Cancelled, StoreError, GeneratorExit)
        jobs = self.environment.background
        errors = [job.error for job in jobs if job.done and job.error is not None and not isinstance(job.error, expected)]
        self.environment.background = [job for job in jobs if not job.done]
        for error in [*errors, *self.internal_errors]:
            raise InternalError(repr(error)) from error

    def found_volume(self, slot: str) -> VolumeContent:
        return found_volume(self, self.volume(slot))

    def found(self) -> Moment:
        """Read everything that the pool contains."""
        return found(self)

    def read(self, source: BlockSource) -> list[Any]:
        now = source.read_now(0, source.size_blocks)
        return now if now is not None else self.run(source.read(0, source.size_blocks))


def outcome_of(reply: Reply) -> str:
    """Return "good", "busy" or the key, ASC and ASCQ of the sense data."""
    if reply.status in (0x08, 0x28):
        return "busy"
    return code_of(reply)


NO_ROOM = (Scarcity, Unwritable)
