"""The commands of `odx-target windows-copy` as lines of text, in the form of `serve --trace`."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from odx_target.initiator.result import CommandResult, Status
from odx_target.initiator.windows.journal import Entry, Exchange, LoginStep, Management, Remark
from odx_target.initiator.windows.rules import Finding
from odx_target.initiator.windows.session.path import SIMPLE
from odx_target.target.trace.one_line import describe_key_value, describe_sense_briefly, describe_status
from odx_target.target.trace.parameter_list_text import describe_answer, describe_command, describe_parameter_list

INDENT = " " * 10
SHOWN_BYTES = 2048
"""Maximum length of the data that is shown. The longest parameter list has 64 range descriptors. Without its token, this list
is shorter than the limit."""
SHOWN_TOKEN_BYTES = 16
TOKEN_BYTES = 512
TOKEN_IN_WRITE = 16
ANSWER_HEADER_BYTES = 32
SHOWN_RANGES = 4
"""Maximum number of ranges that are shown for one command. All ranges are shown if the bytes of the command are shown."""
READS, WRITES = (0x28, 0x88), (0x2A, 0x8A)
TOKEN_OUT, TOKEN_IN = 0x83, 0x84
WRITE_USING_TOKEN = 0x11

# Fields that are left out, because other fields have the same information or their value never changes. They are shown together
# with the bytes.
_DETAILS = re.compile(
    r"(parameter_list_length|populate_token_data_length|write_using_token_data_length|block_device_range_descriptor_length"
    r"|available_data|response_to_service_action|operation_counter|estimated_status_update_delay"
    r"|extended_copy_completion_status|transfer_count_units|rod_token_descriptors_length|length_of_the_sense_data_field"
    r"|sense_data_length)="
)


def command_words(cdb: bytes, data: bytes, *, all_fields: bool = True) -> str:
    """Describe a command and the parameters that it sends."""
    is_shown = data and (cdb[0] == TOKEN_OUT or all_fields)
    sends = describe_parameter_list(cdb, data) if is_shown else []
    words = " ".join(_chosen(describe_command(cdb), all_fields))
    return f"{words} | sends {' '.join(_chosen(sends, all_fields))}" if sends else words


def end_words(exchange: Exchange, *, all_fields: bool = True) -> str:
    """Describe the end of a command and the data that it returned."""
    result = exchange.result
    if result is None:
        return exchange.fault
    parts = [describe_status(result.status)]
    if result.sense:
        parts.append(describe_sense_briefly(bytes(result.sense)))
    is_shown = exchange.cdb[0] == TOKEN_IN or all_fields
    if is_shown and len(result.data_in) and exchange.cdb[0] not in READS:
        residual = f" residual_count={result.residual_bytes}" if result.residual_bytes else ""
        parts.append(f"data={len(result.data_in)}{residual}")
        if result.status == Status.GOOD and (answers := describe_answer(exchange.cdb, bytes(result.data_in))):
            parts.append(f"answers {' '.join(_chosen(answers, all_fields))}")
    return " | ".join(parts)


def _chosen(words: Iterable[str], all_fields: bool) -> list[str]:
    if all_fields:
        return list(words)
    return [_fewer_ranges(word) for word in words if not _DETAILS.match(word)]


def _fewer_ranges(word: str) -> str:
    if not word.startswith("ranges=["):
        return word
    ranges = word[len("ranges=[") : -1].split(", ")
    if len(ranges) <= SHOWN_RANGES:
        return word
    return f"ranges=[{', '.join(ranges[:SHOWN_RANGES])}, and {len(ranges) - SHOWN_RANGES} more]"


@dataclass(slots=True)
class _Run:
    """Consecutive ordinary reads or writes of one disk. Each command begins at the block after the previous command."""

    first: Exchange
    end_lba: int
    count: int = 1


@dataclass(slots=True)
class TracePrinter:
    """Prints entries as lines. If `with_bytes` is False, consecutive ordinary reads or writes are printed as one line.

    `show` is called with each line. The caller must call `finish` at the end.
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
            self.show(f"{self._time(entry.at_s)} {entry.path}: {entry.words}")
        elif isinstance(entry, LoginStep):
            pairs = " ".join(f"{name}={describe_key_value(name, value)}" for name, value in entry.pairs)
            self.show(f"{self._time(entry.at_s)} {entry.what} | {pairs}")
        elif isinstance(entry, Remark):
            self.show(f"{self._time(entry.at_s)} {entry.disk} {entry.what}")
        else:
            self.show(_finding(entry))

    def finish(self) -> None:
        """Show the runs of reads and writes that were not shown yet."""
        runs, self._runs = self._runs, {}
        for run in runs.values():
            more = f", and {run.count - 1} more up to block {run.end_lba}" if run.count > 1 else ""
            self._show_exchange(run.first, more)

    def _joins(self, exchange: Exchange) -> bool:
        """Add a successful ordinary read or write to a run. The run does not keep the data of the command. Returns False for
        any other exchange.
        """
        if self.with_bytes or exchange.cdb[0] not in READS + WRITES or exchange.result is None or exchange.result.status:
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
        data = b"".join(bytes(part) for part in exchange.data_out) if exchange.cdb[0] not in WRITES else b""
        path = f" ({exchange.path})" if self.with_paths else ""
        untagged = "" if exchange.attribute == SIMPLE else " untagged"
        words = command_words(exchange.cdb, data, all_fields=self.with_bytes)
        end = end_words(exchange, all_fields=self.with_bytes)
        self.show(f"{self._time(exchange.at_s)} {exchange.disk}{path}{untagged} {words} -> {end}{more}")
        if self.with_bytes:
            self._show_bytes(exchange, data)

    def _show_bytes(self, exchange: Exchange, data: bytes) -> None:
        self.show(f"{INDENT} CDB  {exchange.cdb.hex(' ')}")
        if exchange.cdb[0] == TOKEN_OUT and exchange.cdb[1] & 0x1F == WRITE_USING_TOKEN:
            token = data[TOKEN_IN_WRITE : TOKEN_IN_WRITE + SHOWN_TOKEN_BYTES]
            self.show(f"{INDENT} list {data[:TOKEN_IN_WRITE].hex(' ')}")
            self.show(f"{INDENT} token {token.hex(' ')} .. {TOKEN_BYTES} bytes")
            self.show(f"{INDENT} rest {_short(data[TOKEN_IN_WRITE + TOKEN_BYTES :])}")
        elif data:
            self.show(f"{INDENT} list {_short(data)}")
        result = exchange.result
        if result is not None and exchange.cdb[0] not in READS and len(result.data_in):
            self.show(f"{INDENT} data {_short_answer(exchange.cdb, bytes(result.data_in))}")
        if result is not None and result.sense:
            self.show(f"{INDENT} sense {_short(bytes(result.sense))}")

    def _time(self, at_s: float) -> str:
        return f"{at_s - self.began_s:8.3f} s"


def _place(cdb: bytes) -> tuple[int, int]:
    """Return the LBA and length of an ordinary read or write."""
    if cdb[0] < 0x80:
        return int.from_bytes(cdb[2:6], "big"), int.from_bytes(cdb[7:9], "big")
    return int.from_bytes(cdb[2:10], "big"), int.from_bytes(cdb[10:14], "big")


def _short(data: bytes, shown_bytes: int = SHOWN_BYTES) -> str:
    rest = f" .. {len(data)} bytes" if len(data) > shown_bytes else ""
    return data[:shown_bytes].hex(" ") + rest


def _short_answer(cdb: bytes, data: bytes) -> str:
    """Return the data of an answer in hexadecimal. Only the beginning of a token is shown."""
    if cdb[0] == TOKEN_IN and len(data) > ANSWER_HEADER_BYTES:
        return _short(data, ANSWER_HEADER_BYTES + data[13] + 6 + SHOWN_TOKEN_BYTES)
    return _short(data)


def _finding(finding: Finding) -> str:
    return f"{INDENT} *** {finding.rule.value.weight.value}: {finding}"
