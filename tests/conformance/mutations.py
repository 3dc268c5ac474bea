"""Faults of targets: functions that change the commands or the replies of our array.

A mutation takes a CDB, its data-out, the expected length of its data-in, and the target, and returns a result. The target
executes commands for the LUN that received the command. A command is named by its operation code, or by its operation code and
its service action.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from odx_target.initiator import cdb as cdbs
from odx_target.initiator.result import CommandResult
from odx_target.scsi.nexus import Nexus
from tests.copymgr.array import CopyArray

Command: TypeAlias = int | tuple[int, int]
RESET = 0xFF
"""Operation code that stands for LOGICAL UNIT RESET."""
PT, WUT, ABORT = (0x83, 0x10), (0x83, 0x11), (0x83, 0x1C)
RRTI, STATUS, LISTED = (0x84, 0x07), (0x84, 0x05), (0x84, 0x08)
XCOPY, XCOPY_LID4 = (0x83, 0x00), (0x83, 0x01)
READ, WRITE, INQUIRY = 0x88, 0x8A, 0x12
RTPG, STPG = (0xA3, 0x0A), (0xA4, 0x0A)
TOKEN = 38
"""Offset of the token in the answer to RECEIVE ROD TOKEN INFORMATION."""
GOOD, CHECK_CONDITION = 0, 2


@dataclass(frozen=True)
class Target:
    """The array, for a mutation that sends commands of its own."""

    array: CopyArray
    nexus: Nexus
    lun: int
    execute: Callable[[bytes, bytes, int], CommandResult]

    def read(self, lba: int, count: int) -> bytes:
        return bytes(self.execute(cdbs.read_16(lba, count), b"", 1 << 20).data_in)

    def write(self, lba: int, data: bytes) -> None:
        count = len(data) // self.array.block_bytes(self.lun)
        assert self.execute(cdbs.write_16(lba, count), data, 0).status == GOOD


Mutation: TypeAlias = Callable[[bytes, bytes, int, Target], CommandResult]


def unchanged(cdb: bytes, data_out: bytes, data_in_bytes: int, target: Target) -> CommandResult:
    return target.execute(cdb, data_out, data_in_bytes)


def sense(code: str) -> CommandResult:
    key, asc, ascq = (int(part, 16) for part in code.split("/"))
    return CommandResult(CHECK_CONDITION, sense=bytes((0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc, ascq, 0, 0, 0, 0)))


def names(command: Command, cdb: bytes) -> bool:
    return cdb[0] == command if isinstance(command, int) else (cdb[0], cdb[1] & 0x1F) == command


def on(*commands: Command) -> Callable[[Mutation], Mutation]:
    """Return a decorator that applies a mutation to some commands only."""

    def decorate(mutation: Mutation) -> Mutation:
        def run(cdb: bytes, data_out: bytes, data_in_bytes: int, target: Target) -> CommandResult:
            is_named = any(names(command, cdb) for command in commands)
            return (mutation if is_named else unchanged)(cdb, data_out, data_in_bytes, target)

        return run

    return decorate


def accepting(*commands: Command) -> Mutation:
    """Report GOOD, with zeros as data, for commands that the array refuses. Unit attentions stay."""

    @on(*commands)
    def run(cdb: bytes, data_out: bytes, data_in_bytes: int, target: Target) -> CommandResult:
        result = target.execute(cdb, data_out, data_in_bytes)
        if result.status == GOOD or result.sense[2:3] == b"\x06":
            return result
        return CommandResult(GOOD, bytes(data_in_bytes))

    return run


def refusing(command: Command, code: str, when: Callable[[bytes, bytes], bool] = lambda cdb, data_out: True) -> Mutation:
    """Refuse a command, or only those for which `when` is true."""

    @on(command)
    def run(cdb: bytes, data_out: bytes, data_in_bytes: int, target: Target) -> CommandResult:
        return sense(code) if when(cdb, data_out) else target.execute(cdb, data_out, data_in_bytes)

    return run


def ignoring(*commands: Command) -> Mutation:
    """Report GOOD for commands without executing them."""

    @on(*commands)
    def run(cdb: bytes, data_out: bytes, data_in_bytes: int, target: Target) -> CommandResult:
        return CommandResult(GOOD, bytes(data_in_bytes))

    return run


def data(command: Command, change: Callable[[bytes], bytes], when: Callable[[bytes], bool] = lambda cdb: True) -> Mutation:
    """Change the data-in of a command that ends with GOOD."""

    @on(command)
    def run(cdb: bytes, data_out: bytes, data_in_bytes: int, target: Target) -> CommandResult:
        result = target.execute(cdb, data_out, data_in_bytes)
        if result.status != GOOD or not when(cdb):
            return result
        return CommandResult(GOOD, change(bytes(result.data_in)))

    return run


def page(code: int, change: Callable[[bytes], bytes]) -> Mutation:
    """Change a vital product data page."""
    return data(INQUIRY, change, lambda cdb: bool(cdb[1] & 1) and cdb[2] == code)


def put(at: int, *values: int) -> Callable[[bytes], bytes]:
    """Return a function that replaces bytes. Data that is too short stays unchanged."""
    return lambda old: old[:at] + bytes(values) + old[at + len(values) :] if len(old) >= at + len(values) else old


def flip(at: int) -> Callable[[bytes], bytes]:
    """Return a function that inverts a byte; a negative position counts from the end."""

    def change(old: bytes) -> bytes:
        new = bytearray(old)
        if len(new) > at:
            new[at] ^= 0xFF
        return bytes(new)

    return change


def shorter(count: int) -> Callable[[bytes], bytes]:
    return lambda old: old[:-count]


def sent(command: Command, change: Callable[[bytes], bytes]) -> Mutation:
    """Change the data-out of a command before the array executes it."""

    @on(command)
    def run(cdb: bytes, data_out: bytes, data_in_bytes: int, target: Target) -> CommandResult:
        return target.execute(cdb, change(data_out) if data_out else data_out, data_in_bytes)

    return run


def called(command: Command, change: Callable[[bytes], bytes]) -> Mutation:
    """Change the CDB of a command before the array executes it."""

    @on(command)
    def run(cdb: bytes, data_out: bytes, data_in_bytes: int, target: Target) -> CommandResult:
        return target.execute(change(cdb), data_out, data_in_bytes)

    return run


def other_sense(command: Command, change: Callable[[bytes], bytes]) -> Mutation:
    """Change the sense data of a command that the array refuses."""

    @on(command)
    def run(cdb: bytes, data_out: bytes, data_in_bytes: int, target: Target) -> CommandResult:
        result = target.execute(cdb, data_out, data_in_bytes)
        return CommandResult(result.status, result.data_in, change(result.sense)) if result.sense else result

    return run


def only_first(command: Command, code: str, count: int = 1) -> Mutation:
    """Execute a command only the first times, and refuse it later."""
    seen: list[bytes] = []

    @on(command)
    def run(cdb: bytes, data_out: bytes, data_in_bytes: int, target: Target) -> CommandResult:
        seen.append(cdb)
        return target.execute(cdb, data_out, data_in_bytes) if len(seen) <= count else sense(code)

    return run


def ignoring_later(command: Command, count: int = 1) -> Mutation:
    """Execute a command only the first times, and later report GOOD without executing it."""
    seen: list[bytes] = []

    @on(command)
    def run(cdb: bytes, data_out: bytes, data_in_bytes: int, target: Target) -> CommandResult:
        seen.append(cdb)
        return target.execute(cdb, data_out, data_in_bytes) if len(seen) <= count else CommandResult(GOOD)

    return run


def after_reset(command: Command, code: str) -> Mutation:
    """Refuse a command after LOGICAL UNIT RESET."""
    resets: list[bytes] = []

    def run(cdb: bytes, data_out: bytes, data_in_bytes: int, target: Target) -> CommandResult:
        if names(RESET, cdb):
            resets.append(cdb)
        if resets and names(command, cdb):
            return sense(code)
        return target.execute(cdb, data_out, data_in_bytes)

    return run


def after_refusal(command: Command, code: str) -> Mutation:
    """Refuse a command after it was refused once."""
    refused: list[bytes] = []

    @on(command)
    def run(cdb: bytes, data_out: bytes, data_in_bytes: int, target: Target) -> CommandResult:
        result = sense(code) if refused else target.execute(cdb, data_out, data_in_bytes)
        if result.status:
            refused.append(cdb)
        return result

    return run


def slow(command: Command, delay_s: float) -> Mutation:
    """Advance the clock before a command is executed."""

    @on(command)
    def run(cdb: bytes, data_out: bytes, data_in_bytes: int, target: Target) -> CommandResult:
        target.array.environment.advance(delay_s)
        return target.execute(cdb, data_out, data_in_bytes)

    return run


def late_copy(cdb: bytes, data_out: bytes, data_in_bytes: int, target: Target) -> CommandResult:
    """Read the source of a token only at WRITE USING TOKEN."""
    if not names(WUT, cdb):
        return target.execute(cdb, data_out, data_in_bytes)
    target.write(4096, target.read(0, 64))
    return CommandResult(GOOD)


def shared_copy(cdb: bytes, data_out: bytes, data_in_bytes: int, target: Target) -> CommandResult:
    """Write to the source whatever is written to the destination."""
    if names(WRITE, cdb) and (lba := int.from_bytes(cdb[2:10], "big")) >= 4096:
        target.write(lba - 4096, data_out)
    return target.execute(cdb, data_out, data_in_bytes)


def block_by_block(step: int) -> Mutation:
    """Copy a token block by block, from the first block on, or from the last block on if `step` is -1."""
    sources: list[tuple[int, int]] = []

    @on(PT, WUT)
    def run(cdb: bytes, data_out: bytes, data_in_bytes: int, target: Target) -> CommandResult:
        if names(PT, cdb):
            sources.append(struct.unpack_from(">QI", data_out, 16))
            return target.execute(cdb, data_out, data_in_bytes)
        (source, count), (destination, _) = sources[-1], struct.unpack_from(">QI", data_out, 536)
        for at in range(count)[::step]:
            target.write(destination + at, target.read(source + at, 1))
        return CommandResult(GOOD)

    return run


def sorted_ranges(at: int) -> Callable[[bytes], bytes]:
    """Return a function that sorts the range descriptors of a parameter list."""
    return lambda old: old[:at] + b"".join(sorted(old[start : start + 16] for start in range(at, len(old), 16)))


def whole_physical_blocks(old: bytes) -> bytes:
    """Round the LBA of the first range of WRITE USING TOKEN down to a multiple of eight."""
    return put(543, old[543] & ~7)(old)
