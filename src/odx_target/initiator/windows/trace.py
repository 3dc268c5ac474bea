"""What happened as lines for a person: each command in words, its bytes where wanted, its result."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from odx_target.initiator.result import CommandResult, Status
from odx_target.initiator.sense import describe_result
from odx_target.initiator.windows.journal import Entry, Exchange, LoginStep, Management
from odx_target.initiator.windows.path import SIMPLE
from odx_target.initiator.windows.rules import Finding

SHOWN_BYTES = 2048
"""More than the longest parameter list without its token: 64 range descriptors."""
SHOWN_TOKEN_BYTES = 16
TOKEN_BYTES = 512
TOKEN_IN_WRITE = 16
RANGES_IN_POPULATE, RANGES_IN_WRITE = 16, 536
ORDINARY = {0x28: "READ (10)", 0x2A: "WRITE (10)", 0x88: "READ (16)", 0x8A: "WRITE (16)"}
NAMES = {
    0x00: "TEST UNIT READY",
    0x15: "MODE SELECT (6)",
    0x1A: "MODE SENSE (6)",
    0x1B: "START STOP UNIT",
    0x25: "READ CAPACITY (10)",
    0x35: "SYNCHRONIZE CACHE (10)",
    0x9E: "READ CAPACITY (16)",
    0xA0: "REPORT LUNS",
}
ANSWER_HEADER_BYTES = 32


def describe_cdb(cdb: bytes, data: bytes) -> str:
    """A command in words; `data` is its parameter list."""
    if cdb[0] in ORDINARY:
        lba, count = _place(cdb)
        fua = ", FUA" if cdb[0] in {0x2A, 0x8A} and cdb[1] & 0x08 else ""
        return f"{ORDINARY[cdb[0]]} {count} {_blocks(count)} at {lba}{fua}"
    if cdb[0] == 0x12:
        return f"INQUIRY page {cdb[2]:02X}h" if cdb[1] & 1 else "INQUIRY"
    if cdb[0] in {0x83, 0x84}:
        return _describe_token_command(cdb, data)
    page = f" page {cdb[2]:02X}h" if cdb[0] == 0x1A else ""
    return NAMES.get(cdb[0], f"command {cdb[0]:02X}h") + page


def _place(cdb: bytes) -> tuple[int, int]:
    """LBA and length of an ordinary read or write."""
    lba, count = struct.unpack_from(">LxH", cdb, 2) if cdb[0] < 0x80 else struct.unpack_from(">QL", cdb, 2)
    return lba, count


def _describe_token_command(cdb: bytes, data: bytes) -> str:
    if cdb[0] == 0x84:
        identifier, allocation = struct.unpack_from(">L4xL", cdb, 2)
        return f"RECEIVE ROD TOKEN INFORMATION list {identifier:08X}h, allocation {allocation}"
    (identifier,) = struct.unpack_from(">L", cdb, 6)
    if cdb[1] & 0x1F == 0x10:
        timeout_s = int.from_bytes(data[4:8], "big")
        timeout = f", timeout {timeout_s} s" if timeout_s else ""
        return f"POPULATE TOKEN list {identifier:08X}h, {_ranges(data[RANGES_IN_POPULATE:])}{timeout}"
    offset = int.from_bytes(data[8:16], "big")
    return f"WRITE USING TOKEN list {identifier:08X}h, offset {offset}, {_ranges(data[RANGES_IN_WRITE:])}"


def _blocks(count: int) -> str:
    return "block" if count == 1 else "blocks"


def _ranges(area: bytes) -> str:
    parts = [struct.unpack_from(">QL", area, at) for at in range(0, len(area) - 15, 16)]
    total = sum(count for _, count in parts)
    where = f" at {parts[0][0]}" if len(parts) == 1 else f" in {len(parts)} ranges"
    return f"{total} {_blocks(total)}{where}"


def describe_end(exchange: Exchange) -> str:
    """How a command ended, in words."""
    result = exchange.result
    if result is None:
        return exchange.fault
    words = describe_result(result)
    if result.status == Status.GOOD and exchange.cdb[0] == 0x84 and len(result.data_in) >= ANSWER_HEADER_BYTES:
        return f"{words}, {_describe_answer(result)}"
    return words


def _describe_answer(result: CommandResult) -> str:
    reply = bytes(result.data_in)
    at = ANSWER_HEADER_BYTES + reply[13]
    length = int.from_bytes(reply[at : at + 4], "big")
    token = f", token {reply[at + 6 : at + 6 + SHOWN_TOKEN_BYTES].hex()}.." if length and len(reply) > at + 6 else ""
    count = int.from_bytes(reply[16:24], "big")
    return f"status {reply[5]:02X}h, {count} blocks{token}, {len(reply)} bytes, residual {result.residual_bytes}"


@dataclass(slots=True)
class _Run:
    """Ordinary reads or writes of one disk, each where the one before ended."""

    first: Exchange
    end_lba: int
    count: int = 1


@dataclass(slots=True)
class TracePrinter:
    """Turns entries into lines. Runs of ordinary reads and writes are one line; with `with_bytes` there are the bytes too.

    `show` takes each line; call `finish` at the end.
    """

    show: Callable[[str], None]
    began_s: float = 0.0
    with_bytes: bool = False
    with_paths: bool = False
    _runs: dict[tuple[str, int], _Run] = field(default_factory=dict)

    def tell(self, entry: Entry) -> None:
        if isinstance(entry, Exchange) and self._joins(entry):
            return
        self.finish()
        if isinstance(entry, Exchange):
            self._show_exchange(entry)
        elif isinstance(entry, Management):
            self.show(f"{self._time(entry.at_s)} {entry.path}: {entry.what}")
        elif isinstance(entry, LoginStep):
            self.show(f"{self._time(entry.at_s)} {entry.what}: {' '.join(f'{name}={value}' for name, value in entry.pairs)}")
        else:
            self.show(_finding(entry))

    def finish(self) -> None:
        """Show what was held back."""
        runs, self._runs = self._runs, {}
        for run in runs.values():
            more = f", and {run.count - 1} more up to block {run.end_lba}" if run.count > 1 else ""
            self._show_exchange(run.first, more)

    def _joins(self, exchange: Exchange) -> bool:
        """Take a good ordinary read or write into a run, which keeps no data."""
        if self.with_bytes or exchange.cdb[0] not in ORDINARY or exchange.result is None or exchange.result.status:
            return False
        lba, count = _place(exchange.cdb)
        kind = exchange.disk, exchange.cdb[0]
        run = self._runs.get(kind)
        if run is not None and run.end_lba == lba:
            run.end_lba, run.count = lba + count, run.count + 1
            return True
        if run is not None:
            self.finish()
        self._runs[kind] = _Run(replace(exchange, data_out=(), result=CommandResult(Status.GOOD)), lba + count)
        return True

    def _show_exchange(self, exchange: Exchange, more: str = "") -> None:
        data = b"".join(bytes(part) for part in exchange.data_out) if exchange.cdb[0] not in ORDINARY else b""
        path = f" ({exchange.path})" if self.with_paths else ""
        untagged = "" if exchange.attribute == SIMPLE else " untagged"
        words = describe_cdb(exchange.cdb, data)
        self.show(f"{self._time(exchange.at_s)} {exchange.disk}{path}{untagged} {words} -> {describe_end(exchange)}{more}")
        if self.with_bytes:
            self._show_bytes(exchange, data)

    def _show_bytes(self, exchange: Exchange, data: bytes) -> None:
        self.show(f"{'':10} CDB  {exchange.cdb.hex(' ')}")
        if exchange.cdb[0] == 0x83 and exchange.cdb[1] & 0x1F == 0x11:
            token = data[TOKEN_IN_WRITE : TOKEN_IN_WRITE + SHOWN_TOKEN_BYTES]
            self.show(f"{'':10} list {data[:TOKEN_IN_WRITE].hex(' ')}")
            self.show(f"{'':10} token {token.hex(' ')} .. {TOKEN_BYTES} bytes")
            self.show(f"{'':10} rest {_short(data[TOKEN_IN_WRITE + TOKEN_BYTES :])}")
        elif data:
            self.show(f"{'':10} list {_short(data)}")
        if exchange.result is not None and exchange.cdb[0] not in ORDINARY and len(exchange.result.data_in):
            self.show(f"{'':10} data {_short_answer(exchange)}")
        if exchange.result is not None and exchange.result.sense:
            self.show(f"{'':10} sense {_short(exchange.result.sense)}")

    def _time(self, at_s: float) -> str:
        return f"{at_s - self.began_s:8.3f} s"


def _short(data: bytes, shown_bytes: int = SHOWN_BYTES) -> str:
    rest = f" .. {len(data)} bytes" if len(data) > shown_bytes else ""
    return data[:shown_bytes].hex(" ") + rest


def _short_answer(exchange: Exchange) -> str:
    """The data of an answer; of a token only its beginning."""
    assert exchange.result is not None
    data = bytes(exchange.result.data_in)
    if exchange.cdb[0] == 0x84 and len(data) > ANSWER_HEADER_BYTES:
        return _short(data, ANSWER_HEADER_BYTES + data[13] + 6 + SHOWN_TOKEN_BYTES)
    return _short(data)


def _finding(finding: Finding) -> str:
    return f"{'':10} *** {finding.rule.value.weight.value}: {finding}"
