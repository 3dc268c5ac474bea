"""The commands of `odx-target windows-copy` as lines of text, in the form of `serve --trace`."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from odx_target.cli.text.command_words import READS, TOKEN_IN, TOKEN_OUT, WRITES, command_words, end_words
from odx_target.initiator.result import CommandResult, Status
from odx_target.initiator.windows.journal import Entry, Exchange, LoginStep, Management, Remark
from odx_target.initiator.windows.rules import Finding
from odx_target.initiator.windows.session.path import SIMPLE
from odx_target.target.trace.one_line import describe_key_value

INDENT = " " * 10
SHOWN_BYTES = 2048
"""Maximum length of the data that is shown. The longest parameter list has 64 range descriptors. Without its token, this list
is shorter than the limit."""
SHOWN_TOKEN_BYTES = 16
TOKEN_BYTES = 512
TOKEN_IN_WRITE = 16
ANSWER_HEADER_BYTES = 32
WRITE_USING_TOKEN = 0x11


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
        end = (
            exchange.fault if exchange.result is None else end_words(exchange.cdb, exchange.result, all_fields=self.with_bytes)
        )
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
