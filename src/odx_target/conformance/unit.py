"""A logical unit under test: commands, the record of their bytes, and the answers that a check expects."""

from dataclasses import dataclass, field

from odx_target.conformance.exchange import Records
from odx_target.conformance.faults import CheckFailed, NotSupported, require_equal
from odx_target.conformance.path import Path
from odx_target.initiator import cdb as cdbs
from odx_target.initiator.copying.copy_limits import CopyLimits
from odx_target.initiator.result import CommandResult, Sleep, Status
from odx_target.initiator.sense import Sense, SenseKey, describe_result, read_sense

MAX_REPETITIONS = 20
"""Maximum number of times that a command is repeated because of unit attentions or a busy target."""
BUSY_DELAY_S = 0.1
PAGE_BYTES = 0xFFFF
MAX_BYTES_IN_COMMAND = 256 << 10
"""Maximum length of one READ or WRITE of a check. Every target accepts this length."""

OPTIONAL_COMMANDS = frozenset(
    {
        0x4D,
        0x34,
        0x35,
        0x90,
        0x91,
        0x41,
        0x93,
        0x42,
        0x89,
        0x8B,
        0x9C,
        0x9E,
        0xA3,
        0xA4,
        0x15,
        0x55,
        0x5A,
        0x1A,
        0x1B,
        0x1E,
        0x03,
    }
    | {0x08, 0x0A, 0x88, 0x8A, 0xA8, 0xAA, 0x2F, 0x8F, 0xAF, 0x2E, 0x8E, 0xAE, 0x16, 0x17, 0x1C, 0x1D, 0x37, 0xB7, 0x3B, 0x3C}
)
"""Operation codes of commands that a target need not support. INVALID COMMAND OPERATION CODE then means that a rule does not
apply.
"""
OPTIONAL_ACTIONS = frozenset(
    {(0x84, 0x05), (0x84, 0x08), (0x84, 0x00), (0x84, 0x04), (0x83, 0x1C), (0x83, 0x01), (0x9E, 0x12), (0x5E, 0x03)}
    | {(0xA3, 0x0C), (0xA3, 0x0A), (0xA4, 0x0A), (0x5F, 0x06), (0x5E, 0x02)}
)
"""Operation codes and service actions of optional commands that share the operation code of other commands. A target that does
not support them may report INVALID FIELD IN CDB.
"""


def sense_code(result: CommandResult) -> str:
    """Return the sense key, ASC and ASCQ of a result as text like "5/26/00"; "" if the result has no readable sense data."""
    sense = read_sense(result.sense) if result.status == Status.CHECK_CONDITION else None
    return "" if sense is None else f"{sense.key:X}/{sense.asc:02X}/{sense.ascq:02X}"


def pattern(seed: int, count_blocks: int, block_bytes: int) -> bytes:
    """Return blocks that are all different. Blocks of different seeds are different too."""
    return b"".join((b"%d:%d;" % (seed, number)).ljust(16, b".") * (block_bytes // 16) for number in range(count_blocks))


@dataclass(slots=True)
class Unit:
    """A logical unit, reached through one session.

    Methods that expect an answer raise CheckFailed for another answer, and NotSupported if the target does not support the
    optional command.
    """

    path: Path
    lun: int
    name: str
    sleep: Sleep
    block_bytes: int = 512
    capacity_blocks: int = 0
    identity: bytes = b""
    """The designation descriptor of VPD page 83h that names the LUN."""
    copy_limits: CopyLimits = field(default_factory=CopyLimits)
    no_copy_because: str = ""
    """The reason why the LUN cannot copy by token; "" if it can."""
    records: Records = field(default_factory=Records)

    async def once(self, cdb: bytes, data_out: bytes = b"", data_in_bytes: int = 0) -> CommandResult:
        """Send a command once, and record it."""
        result = await self.path.execute(self.lun, cdb, data_out, data_in_bytes)
        self.records.add(
            f"{self.name}: {describe_result(result)}",
            CDB=cdb,
            data_out=data_out,
            data_in=bytes(result.data_in),
            sense=result.sense,
        )
        return result

    async def command(self, cdb: bytes, data_out: bytes = b"", data_in_bytes: int = 0) -> CommandResult:
        """Send a command. Repeat it after a unit attention, and while the target is busy."""
        for _ in range(MAX_REPETITIONS):
            result = await self.once(cdb, data_out, data_in_bytes)
            if result.status in {Status.BUSY, Status.TASK_SET_FULL}:
                await self.sleep(BUSY_DELAY_S)
            elif not sense_code(result).startswith(f"{SenseKey.UNIT_ATTENTION:X}/"):
                break
        return result

    async def good(self, cdb: bytes, data_out: bytes = b"", data_in_bytes: int = 0) -> bytes:
        """Send a command that must end with GOOD, and return its data."""
        result = await self.command(cdb, data_out, data_in_bytes)
        if result.status != Status.GOOD:
            _raise_if_unsupported(cdb, sense_code(result))
            raise CheckFailed(f"command {_shown(cdb)} ended with {describe_result(result)}, expected GOOD")
        return bytes(result.data_in)

    async def refused(self, cdb: bytes, *codes: str, data_out: bytes = b"", data_in_bytes: int = 0) -> Sense:
        """Send a command that must end with CHECK CONDITION and one of the sense codes, and return the sense data."""
        result = await self.command(cdb, data_out, data_in_bytes)
        found = sense_code(result)
        sense = read_sense(result.sense)
        if found not in codes or sense is None:
            _raise_if_unsupported(cdb, found)
            wanted = " or ".join(codes)
            raise CheckFailed(f"command {_shown(cdb)} ended with {describe_result(result)}, expected CHECK CONDITION {wanted}")
        return sense

    async def conflict(self, cdb: bytes, data_out: bytes = b"", data_in_bytes: int = 0) -> None:
        """Send a command that must end with RESERVATION CONFLICT."""
        result = await self.command(cdb, data_out, data_in_bytes)
        if result.status != Status.RESERVATION_CONFLICT:
            _raise_if_unsupported(cdb, sense_code(result))
            found = describe_result(result)
            raise CheckFailed(f"command {_shown(cdb)} ended with {found}, expected RESERVATION CONFLICT")

    async def page(self, page: int, allocation_bytes: int = PAGE_BYTES) -> bytes:
        """Return a whole vital product data page, with its header."""
        return await self.good(cdbs.inquiry(allocation_bytes, page), data_in_bytes=allocation_bytes)

    async def read(self, lba: int, count_blocks: int) -> bytes:
        """Read whole blocks by READ (16)."""
        step = MAX_BYTES_IN_COMMAND // self.block_bytes
        parts = []
        for start in range(0, count_blocks, step):
            count = min(step, count_blocks - start)
            parts.append(await self.good(cdbs.read_16(lba + start, count), data_in_bytes=count * self.block_bytes))
        return b"".join(parts)

    async def write(self, lba: int, data: bytes) -> None:
        """Write whole blocks by WRITE (16)."""
        for start in range(0, len(data), MAX_BYTES_IN_COMMAND):
            part = data[start : start + MAX_BYTES_IN_COMMAND]
            await self.good(cdbs.write_16(lba + start // self.block_bytes, len(part) // self.block_bytes), part)

    async def fill(self, seed: int, lba: int, count_blocks: int) -> bytes:
        """Write blocks that are all different, and return their content."""
        data = pattern(seed, count_blocks, self.block_bytes)
        await self.write(lba, data)
        return data

    async def holds(self, lba: int, data: bytes, what: str) -> None:
        """Read blocks, and fail if they are not `data`. `what` names the expected content."""
        found = await self.read(lba, len(data) // self.block_bytes)
        require_equal(f"length of the data at LBA {lba}", len(found), len(data))
        if found != data:
            step = self.block_bytes
            wrong = next(at for at in range(0, len(data), step) if found[at : at + step] != data[at : at + step])
            raise CheckFailed(f"LBA {lba + wrong // step} does not have {what}")


def _raise_if_unsupported(cdb: bytes, code: str) -> None:
    action = (cdb[0], cdb[1] & 0x1F)
    if (code == "5/20/00" and (cdb[0] in OPTIONAL_COMMANDS or action in OPTIONAL_ACTIONS)) or (
        code == "5/24/00" and action in OPTIONAL_ACTIONS
    ):
        raise NotSupported(f"the target does not support the command {_shown(cdb)}")


def _shown(cdb: bytes) -> str:
    return f"{cdb[0]:02X}h/{cdb[1] & 0x1F:02X}h" if cdb[0] in {0x83, 0x84, 0x9E, 0xA3, 0xA4, 0x5E, 0x5F} else f"{cdb[0]:02X}h"
