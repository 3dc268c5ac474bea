"""A disk of an ESXi host: its properties, and the hardware acceleration state of each primitive."""

from dataclasses import dataclass, field

from odx_target.environment import Buffer
from odx_target.initiator import cdb
from odx_target.initiator.disk import CommandFailed, Disk
from odx_target.initiator.errors import BadAnswer, InitiatorError
from odx_target.initiator.esxi.acceleration import Acceleration, Primitive, device_state
from odx_target.initiator.esxi.host import EsxiHost, Recorder
from odx_target.initiator.esxi.operating_parameters import OperatingParameters
from odx_target.initiator.esxi.rules import Finding, Rule
from odx_target.initiator.result import CommandResult, Executor, Status


class CopyStopped(InitiatorError):
    """ESXi gives up the copy. `finding` is the reason."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


@dataclass(slots=True)
class EsxiDisk:
    """One disk of a host. `enumeration` sets its properties.

    `designator` is the NAA designation descriptor of VPD page 83h, or b"".
    """

    host: EsxiHost
    name: str
    executor: Executor
    unit: Disk = field(init=False)
    accelerations: dict[Primitive, Acceleration] = field(init=False)
    designator: bytes = b""
    parameters: OperatingParameters = field(default_factory=OperatingParameters)

    def __post_init__(self) -> None:
        self.unit = Disk(Recorder(self.host, self.name, self.executor), self.host.runtime.sleep, self.name)
        self.accelerations = {primitive: Acceleration(self.host.settings.row) for primitive in Primitive}

    @property
    def block_bytes(self) -> int:
        return self.unit.block_bytes

    @property
    def clone(self) -> Acceleration:
        return self.accelerations[Primitive.CLONE]

    @property
    def ats(self) -> Acceleration:
        return self.accelerations[Primitive.ATS]

    @property
    def zero(self) -> Acceleration:
        return self.accelerations[Primitive.ZERO]

    @property
    def acceleration_words(self) -> str:
        """The hardware acceleration states as text."""
        states = {primitive: each.state for primitive, each in self.accelerations.items()}
        words = ", ".join(f"{primitive.value} {state.value}" for primitive, state in states.items())
        return f"hardware acceleration {device_state(list(states.values())).value}: {words}"

    def find(self, rule: Rule, detail: str = "", position_bytes: int | None = None) -> Finding:
        return self.host.find(rule, self.name, detail, position_bytes)

    async def command(self, command: bytes, *data_out: Buffer) -> CommandResult:
        """Send a command with data-out. It is repeated after unit attentions, and while the target is busy."""
        return await self.unit.command(command, data_out)

    async def read(self, lba: int, count_blocks: int) -> Buffer:
        """Read blocks by one command. Raises InitiatorError."""
        size_bytes, name = count_blocks * self.block_bytes, f"READ of {count_blocks} blocks at {lba}"
        data = await self.unit.read(name, cdb.shortest_read(lba, count_blocks), size_bytes)
        if len(data) != size_bytes:
            raise BadAnswer(f"{self.name}: {name} gave {len(data)} bytes")
        return data

    async def write(self, lba: int, data: Buffer) -> None:
        """Write blocks by one command. Raises InitiatorError."""
        count_blocks = len(data) // self.block_bytes
        result = await self.command(cdb.shortest_write(lba, count_blocks), data)
        if result.status != Status.GOOD:
            raise CommandFailed(f"{self.name}: WRITE of {count_blocks} blocks at {lba}", result)


@dataclass(frozen=True, slots=True)
class Place:
    """A virtual disk on a disk: consecutive blocks from `lba` on."""

    disk: EsxiDisk
    lba: int

    def lba_at(self, position_bytes: int) -> int:
        """Return the block of a position in the virtual disk. The position must be the start of a block."""
        return self.lba + position_bytes // self.disk.block_bytes
