"""The commands of a replay to another target that have not been compared yet, and the memory that they take."""

from dataclasses import dataclass, field

from odx_target.environment import Buffer
from odx_target.iscsi.pdu.headers import ReadyToTransfer, ScsiCommand
from odx_target.iscsi.pdu.opcodes import TaskManagementFunction
from odx_target.iscsi.pdu.requests import TaskManagementFunctionRequest

MAX_DATA_BYTES = 16 << 20
"""Maximum size of the data of a command: the longest transfer of a recorded array, so its commands have no more."""
MAX_KEPT_BYTES = 256 << 20
"""Maximum memory of all commands that have not been compared, with the data of hosts, of the recorded array and of the target.

It is enough for 64 reads of 1 MiB at the same time, and for 1,000 of 64 KiB.
"""
COMMAND_BYTES = 1024
"""Memory of a command or an answer without its data, rounded up."""

_OF_A_LUN = frozenset(
    {
        TaskManagementFunction.ABORT_TASK_SET,
        TaskManagementFunction.CLEAR_TASK_SET,
        TaskManagementFunction.LOGICAL_UNIT_RESET,
    }
)
_OF_A_TARGET = frozenset({TaskManagementFunction.TARGET_WARM_RESET, TaskManagementFunction.TARGET_COLD_RESET})


class TooMuchData(RuntimeError):
    """The commands of a replay that have not been compared take too much memory. The message is one line."""


class KeptMemory:
    """The memory of the commands of all connections of a replay. `peak_bytes` is its maximum so far."""

    def __init__(self, max_bytes: int = MAX_KEPT_BYTES) -> None:
        self.max_bytes = max_bytes
        self.kept_bytes = 0
        self.peak_bytes = 0

    def take(self, size_bytes: int) -> None:
        """Count bytes. Raises TooMuchData."""
        if self.kept_bytes + size_bytes > self.max_bytes:
            raise TooMuchData(f"the commands that wait for their answers need more than {self.max_bytes >> 20} MiB of memory")
        self.kept_bytes += size_bytes
        self.peak_bytes = max(self.peak_bytes, self.kept_bytes)

    def release(self, size_bytes: int) -> None:
        """Release bytes that were counted."""
        self.kept_bytes -= size_bytes


class KeptData:
    """Data of a command that arrives in parts."""

    def __init__(self, memory: KeptMemory) -> None:
        self._memory = memory
        self.data = bytearray()

    def put(self, offset: int, part: Buffer) -> None:
        """Put a part to its place. Parts beyond the longest transfer are dropped. Raises TooMuchData."""
        end = offset + len(part)
        if end <= MAX_DATA_BYTES:
            missing_bytes = max(0, end - len(self.data))
            self._memory.take(missing_bytes)
            self.data.extend(bytes(missing_bytes))
            self.data[offset:end] = part

    def drop(self) -> None:
        """Release the memory of the data."""
        self._memory.release(len(self.data))
        self.data = bytearray()


@dataclass(slots=True)
class KeptCommand:
    """A command of the recording: its CDB and its data, and the data that the recorded array and the target have returned.

    `waiting` are the target's requests for data that the host has not sent yet.
    """

    lun: int
    cdb: bytes
    memory: KeptMemory
    written: KeptData
    recorded: KeptData
    returned: KeptData
    waiting: list[ReadyToTransfer] = field(default_factory=list)

    def add_waiting(self, request: ReadyToTransfer) -> None:
        """Keep a request for data until the host has sent the data. Raises TooMuchData."""
        self.memory.take(COMMAND_BYTES)
        self.waiting.append(request)

    def take_waiting(self) -> list[ReadyToTransfer]:
        """Return and forget the requests for data."""
        self.memory.release(COMMAND_BYTES * len(self.waiting))
        waiting, self.waiting = self.waiting, []
        return waiting


class KeptCommands:
    """The commands of one connection by their tags."""

    def __init__(self, memory: KeptMemory) -> None:
        self._memory = memory
        self._commands: dict[int, KeptCommand] = {}

    def __len__(self) -> int:
        return len(self._commands)

    def add(self, request: ScsiCommand, cdb: bytes, data: Buffer) -> None:
        """Add a command with its immediate data. It replaces an unanswered one with the same tag. Raises TooMuchData."""
        self.drop(request.initiator_task_tag)
        self._memory.take(COMMAND_BYTES)
        memory = self._memory
        kept = KeptCommand(request.lun, cdb, memory, KeptData(memory), KeptData(memory), KeptData(memory))
        self._commands[request.initiator_task_tag] = kept
        kept.written.put(0, data)

    def get(self, tag: int) -> KeptCommand | None:
        """Return the command with a tag, or None."""
        return self._commands.get(tag)

    def drop(self, tag: int) -> None:
        """Forget a command, because it has been compared or aborted."""
        kept = self._commands.pop(tag, None)
        if kept is not None:
            for each in (kept.written, kept.recorded, kept.returned):
                each.drop()
            kept.take_waiting()
            self._memory.release(COMMAND_BYTES)

    def drop_aborted(self, request: TaskManagementFunctionRequest) -> None:
        """Forget the commands that a task management function has aborted. No answers follow to them."""
        if request.function == TaskManagementFunction.ABORT_TASK:
            self.drop(request.referenced_task_tag)
        for tag, kept in list(self._commands.items()):
            if request.function in _OF_A_TARGET or (request.function in _OF_A_LUN and kept.lun == request.lun):
                self.drop(tag)

    def drop_all(self) -> None:
        """Forget all commands, because the connection has ended."""
        for tag in list(self._commands):
            self.drop(tag)
