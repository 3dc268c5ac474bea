"""A disk of a Windows host: its properties, and the commands that the class driver sends after the start of the disk."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from odx_target.environment import Buffer
from odx_target.initiator.cdb import synchronize_cache_10
from odx_target.initiator.errors import InitiatorError
from odx_target.initiator.sense import SenseKey
from odx_target.initiator.windows import cdb
from odx_target.initiator.windows.class_driver import ClassDriver
from odx_target.initiator.windows.copying.capability import Capability
from odx_target.initiator.windows.copying.layout import FileLayout
from odx_target.initiator.windows.host import WindowsHost
from odx_target.initiator.windows.journal import Remark
from odx_target.initiator.windows.rules import Finding, Rule
from odx_target.initiator.windows.session.path import Path
from odx_target.initiator.windows.session.port import Command, Completion, DiskPort
from odx_target.initiator.windows.thin_events import RESOURCES_EXHAUSTED

FLUSH_TIMEOUT_FACTOR = 4
FUA_REFUSAL = (SenseKey.ILLEGAL_REQUEST, (0x24, 0x00))
"""Sense data of a target that refuses the FUA bit: INVALID FIELD IN CDB."""


class DiskUnusable(InitiatorError):
    """Windows cannot use this disk, or must stop using this disk. `finding` is the reason."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


@dataclass(slots=True)
class WindowsDisk:
    """One disk of a host, with the properties that `enumeration` found.

    `capability` has the limits for token copy. If Windows does not copy by token with this disk, `capability` is None and
    `no_copy` is the reason. `identity` is the designator of VPD page 83h.
    """

    host: WindowsHost
    name: str
    lun: int
    paths: Sequence[Path]
    driver: ClassDriver = field(init=False)
    block_bytes: int = 512
    capacity_blocks: int = 0
    is_long: bool = False
    has_write_cache: bool = False
    identity: bytes = b""
    capability: Capability | None = None
    no_copy: Finding | None = None

    def __post_init__(self) -> None:
        self.driver = ClassDriver(DiskPort(self.host, self.name, self.paths))

    @property
    def key(self) -> tuple[str, int, bytes]:
        """The value that identifies the disk in `HoldOff`."""
        return self.name, self.lun, self.identity

    def find(self, rule: Rule, detail: str = "", position_bytes: int | None = None) -> Finding:
        return self.host.journal.find(rule, self.name, detail, position_bytes)

    def remark(self, what: str) -> None:
        """Add a remark to the journal."""
        self.host.journal.add(Remark(self.host.clock.now(), self.name, what))

    async def ask(self, command: bytes, data_in_bytes: int = 0, retries: int | None = None) -> Completion:
        """Send a command without data-out. The default of `retries` is the number for ordinary commands."""
        count = self.host.settings.ordinary_retries if retries is None else retries
        return await self.driver.submit(Command(command, data_in_bytes=data_in_bytes), count)

    async def flush(self) -> None:
        """Send SYNCHRONIZE CACHE (10) for all blocks. A refusal is ignored."""
        command = Command(synchronize_cache_10(), timeout_factor=FLUSH_TIMEOUT_FACTOR)
        await self.driver.submit(command, self.host.settings.ordinary_retries)

    async def read(self, lba: int, count_blocks: int) -> bytes:
        """Read blocks by one ordinary READ. The adapter must be able to transfer all blocks by one command. Raises
        DiskUnusable.
        """
        command = Command(cdb.read(lba, count_blocks, long=self.is_long), data_in_bytes=count_blocks * self.block_bytes)
        completion = await self._submit(command)
        self._check(completion)
        if len(completion.data_in) != count_blocks * self.block_bytes:
            raise DiskUnusable(self.find(Rule.ORDINARY_FAILED, f"{len(completion.data_in)} bytes of {command.data_in_bytes}"))
        return completion.data_in

    async def write(self, lba: int, data: Buffer, *, force_unit_access: bool = False) -> None:
        """Write blocks by one ordinary WRITE. The adapter must be able to transfer all blocks by one command. Raises
        DiskUnusable.
        """
        if force_unit_access and self.has_write_cache:
            completion = await self._submit(self._write_command(lba, data, force_unit_access=True))
            sense = completion.reading.sense
            if sense is None or (sense.key, sense.code) != FUA_REFUSAL:
                self._check(completion)
                return
            self.find(Rule.FUA_REFUSED)
            self.has_write_cache = False
        self._check(await self._submit(self._write_command(lba, data)))

    async def read_file(self, layout: FileLayout, position_bytes: int, size_bytes: int) -> bytes:
        """Read a piece of a file. Each command is at most as long as the adapter can transfer. Raises DiskUnusable."""
        pieces = [await self.read(lba, count) for lba, count in self._commands(layout, position_bytes, size_bytes)]
        return b"".join(pieces)

    async def write_file(self, layout: FileLayout, position_bytes: int, data: bytes) -> None:
        """Write a piece of a file. Each command is at most as long as the adapter can transfer. Raises DiskUnusable."""
        rest = memoryview(data)
        for lba, count in self._commands(layout, position_bytes, len(data)):
            await self.write(lba, rest[: count * self.block_bytes])
            rest = rest[count * self.block_bytes :]

    def _write_command(self, lba: int, data: Buffer, *, force_unit_access: bool = False) -> Command:
        count_blocks = len(data) // self.block_bytes
        return Command(cdb.write(lba, count_blocks, long=self.is_long, force_unit_access=force_unit_access), [data])

    def check_online(self) -> None:
        """Raise DiskUnusable if the disk has been taken offline."""
        if self.driver.offline:
            raise DiskUnusable(self.find(Rule.DISK_OFFLINE, f"disk event {RESOURCES_EXHAUSTED}"))

    def _commands(self, layout: FileLayout, position_bytes: int, size_bytes: int) -> list[tuple[int, int]]:
        max_blocks = self.host.settings.adapter_transfer_bytes // self.block_bytes
        return [
            (part.lba + at, min(max_blocks, part.count_blocks - at))
            for part in layout.ranges(position_bytes, size_bytes)
            for at in range(0, part.count_blocks, max_blocks)
        ]

    async def _submit(self, command: Command) -> Completion:
        self.check_online()
        settings = self.host.settings
        return await self.driver.submit(
            command, settings.ordinary_retries, allocating_retries=settings.space_allocation_retries
        )

    def _check(self, completion: Completion) -> None:
        self.check_online()
        if not completion.reading.is_good:
            raise DiskUnusable(self.find(Rule.ORDINARY_FAILED, completion.words))
